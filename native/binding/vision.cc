#include "ops/vision.h"

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {

void register_vision(Napi::Env, Napi::Object exports) {
  bind(exports, "relu", &ops::relu);
  bind(exports, "reluBackward", &ops::relu_backward);
  bind(exports, "sigmoid", &ops::sigmoid);
  bind(exports, "sigmoidBackward", &ops::sigmoid_backward);
  bind(exports, "maxPool2", &ops::max_pool2);
  bind(exports, "maxPool2Backward", &ops::max_pool2_backward);
  bind(exports, "upsample2", &ops::upsample2);
  bind(exports, "upsample2Backward", &ops::upsample2_backward);
  bind(exports, "argmax", &ops::argmax);
  bind(exports, "gumbelSoftmax", &ops::gumbel_softmax);
  bind(exports, "gumbelSoftmaxBackward", &ops::gumbel_softmax_backward);
}

}  // namespace cae::binding
