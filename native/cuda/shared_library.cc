#include "cuda/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"

namespace cae::cuda {
namespace {
constexpr auto kToolkit = "/usr/local/cuda/lib64";
constexpr auto kRemedy =
    "; run scripts/fetch-cuda-libs.sh DIR and set CAE_CUDA_LIBS=DIR, or install it with the CUDA toolkit";
}  // namespace

SharedLibrary::SharedLibrary(const char* file, std::initializer_list<const char*> folders) : file_(file) {
  std::vector<std::string> paths;
  const auto add = [&](const std::string& root) {
    if (root.empty()) return;
    paths.push_back(root + "/" + file);
    for (const char* folder : folders) paths.push_back(root + "/" + folder + "/" + file);
  };
  const char* const roots = std::getenv("CAE_CUDA_LIBS");
  std::istringstream list(roots == nullptr ? "" : roots);
  for (std::string root; std::getline(list, root, ':');) add(root);
  paths.emplace_back(file);
  paths.push_back(std::string(kToolkit) + "/" + file);
  add(CAE_CUDA_LIBS_DEFAULT);
  std::string broken;
  for (const std::string& path : paths) {
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (handle_ != nullptr) return;
    const std::string reason = dlerror();
    // Where the file itself is not there, the loader's complaint starts with its name; else with what it
    // lacks.
    if (broken.empty() && reason.rfind(path + ": cannot open shared object file", 0) != 0) broken = reason;
  }
  check(broken.empty(), "device", file, " does not load: ", broken, kRemedy);
  fail("device", file, " was not found in CAE_CUDA_LIBS (", roots == nullptr ? "not set" : roots,
       "), on the system's library path or in ", kToolkit, kRemedy);
}

void* SharedLibrary::function(const char* name) const {
  void* const address = dlsym(handle_, name);
  check(address != nullptr, "device", file_, " has no ", name, ": it is too old", kRemedy);
  return address;
}

}  // namespace cae::cuda
