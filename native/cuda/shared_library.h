#pragma once

#include <initializer_list>

namespace cae::cuda {

// A library that is looked for when it is first needed, so that the addon loads without it: in the folders of
// CAE_CUDA_LIBS (separated by colons; a folder that the Python wheels were installed into will do), then
// where the system's loader looks, then in the toolkit. Throws Error naming the file and the remedy where it
// is not found.
class SharedLibrary {
 public:
  // `folders` are those of the wheels, below the folder they were installed into.
  SharedLibrary(const char* file, std::initializer_list<const char*> folders);
  // The address of a function; throws Error where the library lacks it, being too old.
  void* function(const char* name) const;

 private:
  const char* file_;
  void* handle_ = nullptr;
};

}  // namespace cae::cuda
