// cuDNN's graphs of operations, carried out one operation after the other in f32: what a graph says is
// computed, whichever kernel the library would have for it. Results are rounded to the dtypes of their
// tensors.
#include <cudnn.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "cuda/cudnn_library.h"
#include "cuda/driver.h"
#include "emulator/block.h"
#include "emulator/machine.h"

struct EmulatedDescriptor {
  cudnnBackendDescriptorType_t type;
  std::map<cudnnBackendAttributeName_t, std::vector<char>> attributes;
};

namespace {

using Attribute = cudnnBackendAttributeName_t;
using Index = std::array<int64_t, 4>;

size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
      return sizeof(bool);
    case CUDNN_TYPE_INT64:
      return sizeof(int64_t);
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
      return sizeof(void*);
    default:
      return 4;  // f32 and enumerations
  }
}

template <typename T>
std::vector<T> all(const EmulatedDescriptor* from, Attribute name) {
  const auto found = from->attributes.find(name);
  if (found == from->attributes.end()) return {};
  std::vector<T> values(found->second.size() / sizeof(T));
  std::memcpy(values.data(), found->second.data(), values.size() * sizeof(T));
  return values;
}
template <typename T>
T one(const EmulatedDescriptor* from, Attribute name) {
  const std::vector<T> values = all<T>(from, name);
  cae::check(values.size() == 1, "cudnn", "an attribute is missing");
  return values.front();
}
EmulatedDescriptor* part(const EmulatedDescriptor* from, Attribute name) {
  return from->attributes.contains(name) ? one<EmulatedDescriptor*>(from, name) : nullptr;
}

bool flag(const EmulatedDescriptor* from, Attribute name) {
  return from->attributes.contains(name) && one<char>(from, name) != 0;
}

// A tensor of a graph as it lies at an address.
struct Tensor {
  int64_t id;
  cudnnDataType_t type;
  Index extents{}, strides{};
  bool passing, by_value;
  char* data = nullptr;

  explicit Tensor(const EmulatedDescriptor* d)
      : id(one<int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        type(one<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE)),
        passing(flag(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL)),
        by_value(flag(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE)) {
    const auto e = all<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const auto s = all<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES);
    std::copy(e.begin(), e.end(), extents.begin());
    std::copy(s.begin(), s.end(), strides.begin());
  }

  size_t element() const { return type == CUDNN_DATA_FLOAT ? 4 : 2; }
  int64_t reach() const {  // elements from the first to the last
    int64_t last = 0;
    for (size_t i = 0; i < 4; ++i) last += (extents[i] - 1) * strides[i];
    return last + 1;
  }
  // Broadcast along extents of 1.
  int64_t offset(const Index& at) const {
    int64_t sum = 0;
    for (size_t i = 0; i < 4; ++i) sum += (extents[i] == 1 ? 0 : at[i]) * strides[i];
    return sum;
  }
  float read(int64_t offset) const {
    const char* from = data + static_cast<size_t>(offset) * element();
    if (type == CUDNN_DATA_FLOAT) return *reinterpret_cast<const float*>(from);
    if (type == CUDNN_DATA_HALF) return static_cast<float>(*reinterpret_cast<const cae::F16*>(from));
    return static_cast<float>(*reinterpret_cast<const cae::BF16*>(from));
  }
  float read(const Index& at) const { return read(offset(at)); }
  void write(const Index& at, float value) const {
    char* to = data + static_cast<size_t>(offset(at)) * element();
    if (type == CUDNN_DATA_FLOAT)
      *reinterpret_cast<float*>(to) = value;
    else if (type == CUDNN_DATA_HALF)
      *reinterpret_cast<cae::F16*>(to) = cae::F16(value);
    else
      *reinterpret_cast<cae::BF16*>(to) = cae::BF16(value);
  }
};

template <typename Body>
void for_each(const Index& extents, Body&& body) {
  for (int64_t i = 0; i < extents[0]; ++i)
    for (int64_t j = 0; j < extents[1]; ++j)
      for (int64_t k = 0; k < extents[2]; ++k)
        for (int64_t l = 0; l < extents[3]; ++l) body(Index{i, j, k, l});
}

void pointwise(cudnnPointwiseMode_t mode, const Tensor& x, const Tensor* b, const Tensor& y) {
  for_each(y.extents, [&](const Index& at) {
    const float left = x.read(at);
    const float right = b != nullptr ? b->read(at) : 0;
    switch (mode) {
      case CUDNN_POINTWISE_ADD:
        return y.write(at, left + right);
      case CUDNN_POINTWISE_SUB:
        return y.write(at, left - right);
      case CUDNN_POINTWISE_MUL:
        return y.write(at, left * right);
      case CUDNN_POINTWISE_DIV:
        return y.write(at, left / right);
      case CUDNN_POINTWISE_EXP:
        return y.write(at, std::exp(left));
      case CUDNN_POINTWISE_LOG:
        return y.write(at, std::log(left));
      case CUDNN_POINTWISE_IDENTITY:
        return y.write(at, left);
    }
  });
}

void matmul(const Tensor& a, const Tensor& b, const Tensor& c) {
  cae::check(a.extents[3] == b.extents[2] && a.extents[2] == c.extents[2] && b.extents[3] == c.extents[3],
             "cudnn", "a product's extents do not fit");
  for_each(c.extents, [&](const Index& at) {
    float sum = 0;
    for (int64_t k = 0; k < a.extents[3]; ++k)
      sum += a.read({at[0], at[1], at[2], k}) * b.read({at[0], at[1], k, at[3]});
    c.write(at, sum);
  });
}

void reduce(cudnnReduceTensorOp_t by, const Tensor& x, const Tensor& y) {
  for_each(y.extents, [&](const Index& at) {
    Index over{};  // extents of what is put together
    for (size_t i = 0; i < 4; ++i) over[i] = y.extents[i] == 1 ? x.extents[i] : 1;
    float result = by == CUDNN_REDUCE_TENSOR_MAX ? -INFINITY : 0;
    for_each(over, [&](const Index& more) {
      const float value = x.read({at[0] + more[0], at[1] + more[1], at[2] + more[2], at[3] + more[3]});
      result = by == CUDNN_REDUCE_TENSOR_MAX ? std::max(result, value) : result + value;
    });
    y.write(at, result);
  });
}

// The same places read in another layout.
void reshape(const Tensor& x, const Tensor& y) {
  cae::check(x.reach() == y.reach(), "cudnn", "a reshape leaves its tensor");
  for_each(y.extents, [&](const Index& at) { y.write(at, x.read(y.offset(at))); });
}

// A graph's operations and where its tensors are.
class Execution {
 public:
  explicit Execution(std::map<int64_t, void*> places) : places_(std::move(places)) {}

  void run(const EmulatedDescriptor* o) {
    switch (o->type) {
      case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: {
        const Tensor* b = find(part(o, CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
        return pointwise(one<cudnnPointwiseMode_t>(part(o, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                                                   CUDNN_ATTR_POINTWISE_MODE),
                         input(o, CUDNN_ATTR_OPERATION_POINTWISE_XDESC), b,
                         output(o, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
      }
      case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
        return matmul(input(o, CUDNN_ATTR_OPERATION_MATMUL_ADESC),
                      input(o, CUDNN_ATTR_OPERATION_MATMUL_BDESC),
                      output(o, CUDNN_ATTR_OPERATION_MATMUL_CDESC));
      case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        return reduce(one<cudnnReduceTensorOp_t>(part(o, CUDNN_ATTR_OPERATION_REDUCTION_DESC),
                                                 CUDNN_ATTR_REDUCTION_OPERATOR),
                      input(o, CUDNN_ATTR_OPERATION_REDUCTION_XDESC),
                      output(o, CUDNN_ATTR_OPERATION_REDUCTION_YDESC));
      case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
        return reshape(input(o, CUDNN_ATTR_OPERATION_RESHAPE_XDESC),
                       output(o, CUDNN_ATTR_OPERATION_RESHAPE_YDESC));
      default:
        cae::fail("cudnn", "no operation that is emulated");
    }
  }

 private:
  const Tensor& input(const EmulatedDescriptor* operation, Attribute name) {
    const Tensor* tensor = find(part(operation, name));
    cae::check(tensor != nullptr && (!tensor->passing || written_.contains(tensor->id)), "cudnn",
               "an operation reads what no other has written");
    return *tensor;
  }
  const Tensor& output(const EmulatedDescriptor* operation, Attribute name) {
    const Tensor* tensor = find(part(operation, name));
    cae::check(tensor != nullptr && written_.insert(tensor->id).second, "cudnn",
               "two operations write one tensor");
    return *tensor;
  }
  const Tensor* find(const EmulatedDescriptor* descriptor) {
    if (descriptor == nullptr) return nullptr;
    Tensor made(descriptor);
    if (const auto known = tensors_.find(made.id); known != tensors_.end()) return &known->second;
    if (made.passing) {
      rooms_.emplace_back(static_cast<size_t>(made.reach()) * made.element());
      made.data = rooms_.back().data();
    } else {
      cae::check(places_.contains(made.id), "cudnn", "a tensor of the graph has no address");
      made.data = static_cast<char*>(places_.at(made.id));
    }
    return &tensors_.emplace(made.id, made).first->second;
  }

  std::map<int64_t, void*> places_;
  std::map<int64_t, Tensor> tensors_;
  std::set<int64_t> written_;
  std::vector<std::vector<char>> rooms_;
};

}  // namespace

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  *descriptor = new EmulatedDescriptor{type, {}};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t) {
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, Attribute name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  const auto* bytes = static_cast<const char*>(values);
  descriptor->attributes[name].assign(bytes, bytes + static_cast<size_t>(count) * size_of(type));
  return CUDNN_STATUS_SUCCESS;
}

// One engine, which is deterministic, takes everything and no workspace; it holds the graph that was asked
// for.
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, Attribute name,
                                       cudnnBackendAttributeType_t, int64_t, int64_t* count, void* values) {
  *count = name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE ? 0 : 1;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) *static_cast<int64_t*>(values) = 0;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
    EmulatedDescriptor* config = *static_cast<EmulatedDescriptor**>(values);
    config->attributes[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH] =
        descriptor->attributes.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  }
  return CUDNN_STATUS_SUCCESS;
}

// By-value numbers are read now, everything else when the stream comes to it.
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  const auto ids = all<int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto addresses = all<void*>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  const EmulatedDescriptor* graph =
      part(part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG), CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  const auto operations = all<EmulatedDescriptor*>(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  std::map<int64_t, void*> places;
  for (size_t i = 0; i < ids.size(); ++i) places[ids[i]] = addresses[i];
  auto scalars = std::make_shared<std::map<int64_t, float>>();
  for (const EmulatedDescriptor* o : operations)
    for (const auto& [name, bytes] : o->attributes) {
      if (bytes.size() != sizeof(void*)) continue;
      const EmulatedDescriptor* d = part(o, name);
      if (d->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR || !Tensor(d).by_value) continue;
      const int64_t id = Tensor(d).id;
      (*scalars)[id] = *static_cast<const float*>(places.at(id));
    }
  for (auto& [id, value] : *scalars) places[id] = &value;
  cae::emulator::enqueue_host("cudnn", [operations, places, scalars] {
    Execution execution(places);
    for (const EmulatedDescriptor* o : operations) execution.run(o);
  });
  return CUDNN_STATUS_SUCCESS;
}

const char* cudnnGetErrorString(cudnnStatus_t) {
  return "not supported";
}
size_t cudnnGetVersion() {
  return 92400;
}

namespace cae::cuda {

const Cudnn& cudnn() {
  static const Cudnn table = [] {
    emulator::require_cudnn();
    Cudnn found{};
    found.cudnnBackendCreateDescriptor = &::cudnnBackendCreateDescriptor;
    found.cudnnBackendDestroyDescriptor = &::cudnnBackendDestroyDescriptor;
    found.cudnnBackendExecute = &::cudnnBackendExecute;
    found.cudnnBackendFinalize = &::cudnnBackendFinalize;
    found.cudnnBackendGetAttribute = &::cudnnBackendGetAttribute;
    found.cudnnBackendSetAttribute = &::cudnnBackendSetAttribute;
    found.cudnnGetErrorString = &::cudnnGetErrorString;
    found.version = cudnnGetVersion();
    return found;
  }();
  return table;
}
cudnnHandle_t cudnn_handle() {
  return nullptr;
}
void check_cudnn(cudnnStatus_t status, const char* op) {
  check(status == CUDNN_STATUS_SUCCESS, op, "cuDNN: ", cudnnGetErrorString(status));
}

int selected_device() {
  return 0;  // the first alone computes
}
int capability_of_device() {
  return 90;
}

}  // namespace cae::cuda
