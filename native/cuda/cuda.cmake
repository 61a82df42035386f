# The CUDA backend: nvcc and its static runtime, and the headers of cuBLAS and cuDNN. The two libraries themselves are
# looked for at run time (native/cuda/shared_library.h), so that the addon loads without them.

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES)
  foreach(arch IN LISTS CAE_CUDA_ARCH)
    if(arch MATCHES "^([0-9]+[af]?)\\+PTX$")
      list(APPEND CMAKE_CUDA_ARCHITECTURES ${CMAKE_MATCH_1})
    elseif(arch MATCHES "^[0-9]+[af]?$")
      list(APPEND CMAKE_CUDA_ARCHITECTURES ${arch}-real)
    else()
      message(FATAL_ERROR "CAE_CUDA_ARCH ${arch} is no compute capability; give 90, or a list as in 80;90;120+PTX")
    endif()
  endforeach()
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "nvcc was not found. Install the CUDA toolkit (12 or 13) and build again, or name it: \
CUDACXX=/usr/local/cuda/bin/nvcc")
endif()
enable_language(CUDA)
# CMake before 3.29 does not know that nvcc 13 speaks C++20.
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
find_package(CUDAToolkit REQUIRED)

set(WHEELS ${CAE_CUDA_LIBS}/nvidia)
find_path(CUBLAS_INCLUDE_DIR cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS}
  PATHS ${WHEELS}/cu13/include ${WHEELS}/cublas/include)
find_path(CUDNN_INCLUDE_DIR cudnn.h PATHS ${WHEELS}/cudnn/include ${CUDAToolkit_INCLUDE_DIRS})
if(NOT CUBLAS_INCLUDE_DIR OR NOT CUDNN_INCLUDE_DIR)
  message(FATAL_ERROR "The headers of cuBLAS or cuDNN were not found. Fetch them and build again:  \
scripts/fetch-cuda-libs.sh DIR, then -DCAE_CUDA_LIBS=DIR")
endif()
file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h CUDNN_MAJOR REGEX "^#define CUDNN_MAJOR ")
if(NOT CUDNN_MAJOR MATCHES "MAJOR (9|[1-9][0-9])")
  message(FATAL_ERROR "cuDNN 9 or newer is needed; ${CUDNN_INCLUDE_DIR} has: ${CUDNN_MAJOR}")
endif()
message(STATUS "CUDA ${CUDAToolkit_VERSION} for ${CAE_CUDA_ARCH}, cuBLAS of ${CUBLAS_INCLUDE_DIR}, \
cuDNN of ${CUDNN_INCLUDE_DIR}")

function(cae_use_cuda target)
  # The toolkit's own headers first: the wheels bring copies of some, of another version maybe.
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${CUBLAS_INCLUDE_DIR}
    ${CUDNN_INCLUDE_DIR})
  # Where this machine has them means nothing to another.
  set(DEFAULT_LIBS ${CAE_CUDA_LIBS})
  if(CAE_PREBUILT)
    set(DEFAULT_LIBS "")
  endif()
  set_property(SOURCE native/cuda/shared_library.cc APPEND PROPERTY COMPILE_DEFINITIONS
    CAE_CUDA_LIBS_DEFAULT="${DEFAULT_LIBS}")
  string(REPLACE ";" " " KERNELS "${CAE_CUDA_ARCH}")
  set_property(SOURCE native/cuda/device.cc APPEND PROPERTY COMPILE_DEFINITIONS CAE_CUDA_ARCH="${KERNELS}")
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Xcompiler=-Wall,-fvisibility=hidden;-Xptxas=-v>")
  set_target_properties(${target} PROPERTIES CUDA_VISIBILITY_PRESET hidden)
endfunction()
