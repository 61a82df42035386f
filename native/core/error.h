#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace cae {

// Every failure of the core. The message starts with the name of the op in brackets, gives the shapes, and
// ends with the remedy; the binding turns it into a JavaScript Error with the same text.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

template <typename... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  throw Error(concat("[", op, "] ", parts...));
}

// check(condition, "linear", "x has ", n, " columns, …"): throws Error unless the condition holds.
template <typename... Parts>
void check(bool condition, const char* op, const Parts&... parts) {
  if (!condition) fail(op, parts...);
}

// Memory that an op needed beside its tensors and did not get.
inline Error no_memory(const char* op) {
  return Error(
      concat("[allocate] there is not enough memory for the buffers of ", op,
             "; lower --batch_size (and raise --update_freq in its place), --input_size or the model"));
}

}  // namespace cae
