// Asks cuDNN itself, on a machine without a GPU, whether it has a kernel for every graph that the CUDA
// backend gives it: each graph is built by the backend's own code and planned for a GPU that is only
// described. Nothing is run. usage: cudnn-plans CAPABILITY...     as in: cudnn-plans 80 90 100
#include <cudnn.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "cuda/cudnn_library.h"
#include "cuda/driver.h"
#include "cuda/library.h"
#include "cuda/numerics.h"

namespace {

int capability = 0;
cudnnBackendDescriptor_t described = nullptr;
int64_t workspace = 0;  // of the newest plan

// A GPU of this compute capability, in the form that cuDNN writes and reads for plans made ahead of time.
void describe(int wanted) {
  const bool large = wanted == 80 || wanted == 90 || wanted == 100;  // of data centres
  const int shared = large ? (wanted == 80 ? 166912 : 232448) : 101376;
  const std::string json =
      R"({"deviceName":"described","deviceVer":)" + std::to_string(10 * wanted) +
      R"(,"driverVer":13000,"multiProcessorCount":)" + (large ? "108" : "84") +
      R"(,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":)" + std::to_string(shared) +
      R"(,"reservedSharedMemoryPerBlock":1024,"regsPerBlock":65536,"maxRegistersPerSM":65536,"warpSize":32,
      "maxCtasPerSM":32,"maxThreadsPerBlock":1024,"maxThreadsPerSM":1536,"maxGridSize":[2147483647,65535,65535],
      "maxBlockSize":[1024,1024,64],"smClockRateKHz":1700000,"memClockRateKHz":2000000,"l2CacheSize":41943040,
      "totalGlobalMem":42949672960,"pciDeviceId":0,"cudaDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1})";
  capability = wanted;
  if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &described) != CUDNN_STATUS_SUCCESS ||
      cudnnBackendSetAttribute(described, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                               static_cast<int64_t>(json.size()), json.data()) != CUDNN_STATUS_SUCCESS ||
      cudnnBackendFinalize(described) != CUDNN_STATUS_SUCCESS) {
    char why[1024] = {};
    cudnnGetLastErrorString(why, sizeof why);
    std::fprintf(stderr, "cudnn-plans: cuDNN takes no description of a GPU: %s\n", why);
    std::exit(1);
  }
}

// Where the backend names a device by its handle, the described one stands in.
cudnnStatus_t set_attribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE) return CUDNN_STATUS_SUCCESS;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
    return cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &described);
  if (name == CUDNN_ATTR_ENGINEHEUR_MODE)
    if (const auto status = cudnnBackendSetAttribute(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &described);
        status != CUDNN_STATUS_SUCCESS)
      return status;
  return cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

cudnnStatus_t get_attribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, int64_t wanted, int64_t* count, void* values) {
  const auto status = cudnnBackendGetAttribute(descriptor, name, type, wanted, count, values);
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) workspace = *static_cast<int64_t*>(values);
  return status;
}

cudnnStatus_t execute(cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t) {
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

// What the backend's own sources ask of a device.
namespace cae::cuda {

const Cudnn& cudnn() {
  static const Cudnn table = [] {
    Cudnn found{};
#define CAE_FIND(name) found.name = &::name;
    CAE_CUDNN_FUNCTIONS(CAE_FIND)
#undef CAE_FIND
    found.cudnnBackendSetAttribute = &set_attribute;
    found.cudnnBackendGetAttribute = &get_attribute;
    found.cudnnBackendExecute = &execute;
    found.version = cudnnGetVersion();
    return found;
  }();
  return table;
}
cudnnHandle_t cudnn_handle() {
  return nullptr;
}
void check_cudnn(cudnnStatus_t status, const char* op) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char why[1024] = {};
  cudnnGetLastErrorString(why, sizeof why);
  std::fprintf(stderr, "cudnn-plans: %s: %s %s\n", op, cudnnGetErrorString(status), why);
  std::exit(1);
}
int selected_device() {
  return capability;  // plans are kept by device
}
int capability_of_device() {
  return capability;
}
CachingAllocator& memory_of_device() {
  static CachingAllocator memory("host",
                                 {.acquire = [](size_t bytes) { return std::aligned_alloc(64, bytes); },
                                  .give_back = [](void* data, size_t) { std::free(data); },
                                  .drain = [] {}});
  return memory;
}

void cast_forward(const TensorView&, const TensorView&) {}

}  // namespace cae::cuda

namespace {

using cae::AttentionLayout;
using cae::Dtype;
using cae::TensorView;

constexpr int64_t kBatch = 64;
int missing = 0;

void say(Dtype dtype, const std::string& what, bool planned) {
  std::printf("sm_%d %-4s %-44s %s", capability, cae::dtype_name(dtype), what.c_str(),
              planned ? "planned" : "NO KERNEL");
  if (planned) std::printf(", %.1f MiB of workspace", static_cast<double>(workspace) / (1 << 20));
  std::printf("\n");
  missing += planned ? 0 : 1;
}

// An address that is never read.
TensorView somewhere(Dtype dtype) {
  alignas(64) static char place[64];
  return {place, {1}, dtype};
}

struct Heads {
  const char* what;
  int64_t heads, head_dim, q_length, k_length;
  bool fused;  // queries, keys and values in one projection
};

void ask_attention(Dtype dtype, const Heads& h) {
  const int64_t width = h.heads * h.head_dim;
  AttentionLayout a{};
  a.batch = kBatch;
  a.heads = h.heads;
  a.head_dim = h.head_dim;
  a.q_length = h.q_length;
  a.k_length = h.k_length;
  a.q_row = h.fused ? 3 * width : width;
  a.kv_row = a.q_row;
  a.scale = 1;
  const TensorView t = somewhere(dtype);
  const std::string what = std::string(h.what) + " " + std::to_string(h.heads) + "x" +
                           std::to_string(h.head_dim) + " " + std::to_string(h.q_length) + "x" +
                           std::to_string(h.k_length);
  say(dtype, "attention, " + what, cae::cuda::fused_attention_forward(t, t, t, {}, a, t, t));
  say(dtype, "its gradients, " + what,
      cae::cuda::fused_attention_backward(t, t, t, t, {}, a, t, t, t, t, t, {}));
  if (!h.fused) return;
  say(dtype, "biased attention, " + what, cae::cuda::fused_attention_forward(t, t, t, t, a, t, t));
  say(dtype, "its gradients, " + what,
      cae::cuda::fused_attention_backward(t, t, t, t, t, a, t, t, t, t, t, t));
}

struct Layer {
  int64_t side, in, out, kernel;
};

void ask_convolution(Dtype dtype, const Layer& l) {
  const TensorView t = somewhere(dtype);
  for (const bool relu : {false, true}) {
    const cae::cuda::Convolution g{cae::cuda::Convolution::Forward,
                                   {4 * kBatch, l.side, l.side, l.in},
                                   {4 * kBatch, l.side, l.side, l.out},
                                   l.kernel,
                                   1,
                                   (l.kernel - 1) / 2,
                                   dtype};
    say(dtype,
        "convolution, " + std::to_string(l.side) + " " + std::to_string(l.in) + "->" + std::to_string(l.out) +
            " k" + std::to_string(l.kernel) + (relu ? " relu" : ""),
        cae::cuda::convolve_with_bias(g, t.pointer, t.pointer, t, relu, t.pointer));
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::printf("cuDNN %zu\n", cudnnGetVersion());
  for (int i = 1; i < count; ++i) {
    describe(std::atoi(arguments[i]));
    for (const Dtype dtype : {Dtype::BF16, Dtype::F16}) {
      for (const Heads& h :
           {Heads{"base, visible", 12, 64, 99, 99, true}, Heads{"base, whole", 12, 64, 197, 197, true},
            Heads{"base, decoder", 12, 64, 98, 98, true}, Heads{"base, regressor", 12, 64, 98, 196, false},
            Heads{"base, attentive probe", 12, 64, 1, 197, false},
            Heads{"large, visible", 16, 64, 99, 99, true}, Heads{"tiny", 12, 16, 99, 99, true},
            Heads{"small", 12, 32, 99, 99, true}, Heads{"odd", 4, 40, 33, 33, true},
            Heads{"wide", 8, 128, 65, 65, true}})
        for (const bool deterministic : {false, true}) {
          cae::cuda::numerics.deterministic = deterministic;
          ask_attention(dtype, h);
        }
      // The DALL-E encoder's.
      for (const Layer& l : {Layer{112, 256, 64, 3}, Layer{112, 64, 64, 3}, Layer{112, 64, 256, 1},
                             Layer{56, 256, 512, 1}, Layer{56, 512, 128, 3}, Layer{28, 1024, 256, 3},
                             Layer{14, 2048, 512, 3}, Layer{14, 2048, 8192, 1}})
        ask_convolution(dtype, l);
    }
  }
  std::printf("%d without a kernel\n", missing);
  return missing == 0 ? 0 : 1;
}
