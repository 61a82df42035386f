#include "cuda/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"

namespace cae::cuda {

SharedLibrary::SharedLibrary(const char* file, std::initializer_list<const char*> folders) : file_(file) {
  std::vector<std::string> paths;
  const auto add = [&](const std::string& root) {
    paths.push_back(root + "/" + file);
    for (const char* folder : folders) paths.push_back(root + "/" + folder + "/" + file);
  };
  if (const char* roots = std::getenv("CAE_CUDA_LIBS")) {
    std::istringstream list(roots);
    for (std::string root; std::getline(list, root, ':');)
      if (!root.empty()) add(root);
  }
  paths.emplace_back(file);
  paths.push_back(std::string("/usr/local/cuda/lib64/") + file);
  add(CAE_CUDA_LIBS_DEFAULT);
  for (const std::string& path : paths) {
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (handle_ != nullptr) return;
  }
  fail("device", file,
       " was not found or does not load; run scripts/fetch-cuda-libs.sh DIR and set CAE_CUDA_LIBS=DIR, "
       "or install it with the CUDA toolkit");
}

void* SharedLibrary::function(const char* name) const {
  void* const address = dlsym(handle_, name);
  check(address != nullptr, "device", file_, " has no ", name,
        ": it is too old; run scripts/fetch-cuda-libs.sh DIR and "
        "set CAE_CUDA_LIBS=DIR");
  return address;
}

}  // namespace cae::cuda
