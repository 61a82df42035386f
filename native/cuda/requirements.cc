#include "cuda/requirements.h"

#include "core/error.h"

namespace cae::cuda {

std::string version_text(int version) {
  return concat(version / 1000, ".", version % 1000 / 10);
}

void require_driver(int driver, int runtime) {
  check(driver != 0, "device",
        "no NVIDIA driver was found; install one (nvidia-smi must work), or use --device cpu");
  check(driver / 1000 >= runtime / 1000, "device", "the NVIDIA driver is too old: it supports CUDA ",
        version_text(driver), ", this build needs ", runtime / 1000,
        ".0; update the driver, take a build for CUDA ", driver / 1000, ", or use --device cpu");
}

void require_device(int index, int count) {
  check(count > 0, "device",
        "no CUDA device was found; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu");
  check(index < count, "device", "cuda:", index, " is not there: ", count,
        count == 1 ? " device was found, cuda:0" : concat(" devices were found, cuda:0 to cuda:", count - 1));
}

void require_kernels(bool found, const std::string& device, int major, int minor, const char* kernels) {
  if (found) return;
  const std::string what = concat(device, " has compute capability ", major, ".", minor,
                                  ", and this build has kernels for ", kernels);
  check(major >= 8, "device", what, "; 8.0 (Ampere) or newer is needed, or use --device cpu");
  fail("device", what, "; build with -DCAE_CUDA_ARCH=", major, minor, ", or use --device cpu");
}

void require_cudnn(size_t version) {
  const bool old = version < 90000;
  const size_t major = old ? 1000 : 10000;
  check(!old && version != 91000 && version != 91001, "device", "cuDNN ", version / major, ".",
        version % major / 100, ".", version % 100,
        old ? " is too old: 9 is needed" : " is known to compute attention wrongly",
        "; run scripts/fetch-cuda-libs.sh DIR and set CAE_CUDA_LIBS=DIR");
}

}  // namespace cae::cuda
