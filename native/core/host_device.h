#pragma once

// CAE_HOST_DEVICE marks what the CPU's code and the kernels share.
#ifdef __CUDACC__
#define CAE_HOST_DEVICE __host__ __device__
#else
#define CAE_HOST_DEVICE
#endif
