#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define CAE_FIBER_ASAN 1
#else
#define CAE_FIBER_ASAN 0
#endif

#ifndef __x86_64__
#error "the emulator's fibers are written for x86-64"
#endif

// Saves the registers a called function must keep, and goes on where `load` was saved.
extern "C" void cae_fiber_switch(void** save, void* load);
asm(R"(
.text
.p2align 4
.local cae_fiber_switch
.type cae_fiber_switch, @function
cae_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cae_fiber_switch, .-cae_fiber_switch
)");

namespace cae::emulator {

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_, kStackBytes);
}

void Fiber::prepare(void (*entry)()) {
  if (stack_ == nullptr) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "emulator", "no memory for the stack of a thread");
    stack_ = static_cast<char*>(memory);
  }
  // Six registers, the address to return to, and one word that aligns the stack as after a call.
  auto** top = reinterpret_cast<void**>(stack_ + kStackBytes) - 8;
  std::memset(static_cast<void*>(top), 0, 8 * sizeof(void*));
  top[6] = reinterpret_cast<void*>(entry);
  inside_ = top;
  own_fake_stack_ = nullptr;
}

void Fiber::resume() {
#if CAE_FIBER_ASAN
  __sanitizer_start_switch_fiber(&caller_fake_stack_, stack_, kStackBytes);
#endif
  cae_fiber_switch(&outside_, inside_);
#if CAE_FIBER_ASAN
  __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::arrived() {
#if CAE_FIBER_ASAN
  __sanitizer_finish_switch_fiber(own_fake_stack_, &caller_bottom_, &caller_bytes_);
#endif
}

void Fiber::leave(bool last) {
#if CAE_FIBER_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &own_fake_stack_, caller_bottom_, caller_bytes_);
#endif
  cae_fiber_switch(&inside_, outside_);
  arrived();
  static_cast<void>(last);
}

}  // namespace cae::emulator
