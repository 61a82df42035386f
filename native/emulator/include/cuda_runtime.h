#pragma once

// What host code of cuda/ names of CUDA's runtime, for the emulator.
using cudaError_t = int;
using cudaStream_t = void*;
