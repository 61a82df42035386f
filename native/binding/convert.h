#pragma once

#include <napi.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/current_op.h"
#include "core/tensor.h"

// Conversions between JavaScript values and the arguments of ops. A tensor is an opaque handle in JavaScript.
namespace cae::binding {

// Wraps a tensor in a new handle. Live handles are counted: a step that leaks shows.
Napi::Value to_handle(Napi::Env env, Tensor tensor);
// The tensor in a handle; throws Error (naming `op` and the argument's position) for anything else, and for a
// handle that was released.
Tensor& from_handle(const Napi::Value& value, const char* op, size_t position);
// Empties the handle: its memory goes back at once. Releasing twice is an Error.
void release_handle(const Napi::Value& value);
int64_t live_handles();

struct Argument {
  const Napi::Value& value;
  const char* op;
  size_t position;
  [[noreturn]] void expected(const char* what) const {
    fail(op, "argument ", position + 1, " must be ", what);
  }
};

// A number given for an integral parameter: nothing is cut off.
template <typename T>
T whole_number(const Argument& a) {
  constexpr double kMost = 9007199254740992;  // 2^53: a double holds every integer up to it
  constexpr double low = std::max(static_cast<double>(std::numeric_limits<T>::min()), -kMost);
  constexpr double high = std::min(static_cast<double>(std::numeric_limits<T>::max()), kMost);
  const double number = a.value.As<Napi::Number>().DoubleValue();
  if (!(number >= low && number <= high) || number != std::trunc(number))
    fail(a.op, "argument ", a.position + 1, " must be an integer ",
         sizeof(T) > 4 ? "within ±2^53" : "of 32 bits", ", got ", number);
  return static_cast<T>(number);
}

template <typename T>
T from_js(const Argument& a) {
  if constexpr (std::is_same_v<T, Tensor>) {
    return from_handle(a.value, a.op, a.position);
  } else if constexpr (std::is_same_v<T, OptionalTensor>) {
    if (a.value.IsNull() || a.value.IsUndefined()) return std::nullopt;
    return from_handle(a.value, a.op, a.position);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!a.value.IsBoolean()) a.expected("a boolean");
    return a.value.As<Napi::Boolean>().Value();
  } else if constexpr (std::is_arithmetic_v<T>) {
    if (!a.value.IsNumber()) a.expected("a number");
    if constexpr (std::is_integral_v<T>)
      return whole_number<T>(a);
    else
      return static_cast<T>(a.value.As<Napi::Number>().DoubleValue());
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!a.value.IsString()) a.expected("a string");
    return a.value.As<Napi::String>().Utf8Value();
  } else if constexpr (std::is_same_v<T, Dtype>) {
    return dtype_from_name(from_js<std::string>(a));
  } else if constexpr (std::is_same_v<T, Device>) {
    if (a.value.IsUndefined()) return {};  // the CPU
    return device_from_name(from_js<std::string>(a));
  } else if constexpr (std::is_same_v<T, Shape>) {
    const auto extents = from_js<std::vector<int64_t>>(a);
    return Shape(std::span<const int64_t>(extents));
  } else {  // a vector of any of these
    if (!a.value.IsArray()) a.expected("an array");
    const auto array = a.value.As<Napi::Array>();
    T items;
    for (uint32_t i = 0; i < array.Length(); ++i)
      items.push_back(from_js<typename T::value_type>({array[i], a.op, a.position}));
    return items;
  }
}

template <typename T>
Napi::Value to_js(Napi::Env env, const T& value) {
  if constexpr (std::is_same_v<T, Tensor>) {
    return value.defined() ? to_handle(env, value) : env.Null();
  } else if constexpr (std::is_same_v<T, OptionalTensor>) {
    return value ? to_handle(env, *value) : env.Null();
  } else if constexpr (std::is_same_v<T, bool>) {
    return Napi::Boolean::New(env, value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Napi::Number::New(env, static_cast<double>(value));
  } else if constexpr (std::is_same_v<T, std::string>) {
    return Napi::String::New(env, value);
  } else {
    auto array = Napi::Array::New(env, value.size());
    for (uint32_t i = 0; i < value.size(); ++i) array[i] = to_js(env, value[i]);
    return array;
  }
}

template <typename... T>
Napi::Value to_js(Napi::Env env, const std::tuple<T...>& values) {
  auto array = Napi::Array::New(env, sizeof...(T));
  uint32_t i = 0;
  std::apply([&](const auto&... value) { ((array[i++] = to_js(env, value)), ...); }, values);
  return array;
}

// Runs body; an Error of the core becomes a JavaScript Error with the same message.
template <typename Body>
Napi::Value guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, no_memory(current_op == nullptr ? "this call" : current_op).what());
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, e.what());
  }
}

// exports[name] = function, with each argument checked and converted by its C++ type.
template <typename R, typename... A>
void bind(Napi::Object exports, const char* name, R (*function)(A...)) {
  const auto call =
      [ name, function ]<size_t... I>(const Napi::CallbackInfo& info, std::index_sequence<I...>) {
    const Napi::Env env = info.Env();
    const OpScope scope(name);
    return guarded(env, [&]() -> Napi::Value {
      check(info.Length() <= sizeof...(A), name, "takes ", sizeof...(A), " arguments, got ", info.Length());
      std::tuple<std::decay_t<A>...> arguments{from_js<std::decay_t<A>>({info[I], name, I})...};
      if constexpr (std::is_void_v<R>) {
        std::apply(function, arguments);
        return env.Undefined();
      } else {
        return to_js(env, std::apply(function, arguments));
      }
    });
  };
  exports.Set(name, Napi::Function::New(
                        exports.Env(),
                        [call](const Napi::CallbackInfo& info) {
                          return call(info, std::index_sequence_for<A...>{});
                        },
                        name));
}

}  // namespace cae::binding
