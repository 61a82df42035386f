// Tensors' own functions: making, reading, views, release.
#include <algorithm>
#include <mutex>

#include "binding/convert.h"
#include "binding/register.h"

namespace cae::binding {
namespace {

Tensor empty(const Shape& shape, Dtype dtype, Device device) {
  return Tensor::empty(device, shape, dtype);
}
Tensor reshape(const Tensor& tensor, const Shape& shape) {
  return tensor.reshape(shape);
}
Tensor rows(const Tensor& tensor, int64_t start, int64_t count) {
  return tensor.rows(start, count);
}
std::vector<int64_t> shape_of(const Tensor& tensor) {
  const auto extents = tensor.shape().extents();
  return {extents.begin(), extents.end()};
}
std::string dtype_of(const Tensor& tensor) {
  return dtype_name(tensor.dtype());
}
std::string device_of(const Tensor& tensor) {
  return device_name(tensor.device());
}

// fromBytes(bytes: Uint8Array, shape, dtype, device): the bytes are copied before it returns.
Napi::Value from_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    constexpr auto op = "fromBytes";
    check(info[0].IsTypedArray(), op, "argument 1 must be a typed array");
    const auto bytes = info[0].As<Napi::TypedArray>();
    Tensor tensor = Tensor::empty(from_js<Device>({info[3], op, 3}), from_js<Shape>({info[1], op, 1}),
                                  from_js<Dtype>({info[2], op, 2}));
    check(bytes.ByteLength() == tensor.bytes(), op, "got ", bytes.ByteLength(), " bytes for ", tensor.shape(),
          " ", dtype_name(tensor.dtype()), ", which has ", tensor.bytes());
    const char* data = static_cast<char*>(bytes.ArrayBuffer().Data()) + bytes.ByteOffset();
    upload(tensor.device(), tensor.data(), data, tensor.bytes());
    return to_handle(info.Env(), tensor);
  });
}

// A copy of a typed array into a tensor of its size.
HostCopy copy_into(const char* op, const Tensor& tensor, const Napi::Value& array) {
  check(array.IsTypedArray(), op, "the bytes must be a typed array");
  const auto bytes = array.As<Napi::TypedArray>();
  check(bytes.ByteLength() == tensor.bytes(), op, "got ", bytes.ByteLength(), " bytes for ", tensor.shape(),
        " ", dtype_name(tensor.dtype()), ", which has ", tensor.bytes());
  return {tensor.data(), static_cast<char*>(bytes.ArrayBuffer().Data()) + bytes.ByteOffset(), tensor.bytes()};
}

// write(tensor, bytes): overwrites a tensor, in order with what is queued; the bytes are copied before it
// returns.
Napi::Value write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Tensor tensor = from_handle(info[0], "write", 0);
    const HostCopy copy = copy_into("write", tensor, info[1]);
    upload(tensor.device(), copy.to, copy.from, copy.bytes);
    return info.Env().Undefined();
  });
}

// writeBeside(device, tensors, arrays): the same of several, beside the work queued so far (upload_beside).
Napi::Value write_beside(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    constexpr auto op = "writeBeside";
    const auto device = from_js<Device>({info[0], op, 0});
    const auto tensors = from_js<std::vector<Tensor>>({info[1], op, 1});
    check(info[2].IsArray(), op, "argument 3 must be an array");
    const auto arrays = info[2].As<Napi::Array>();
    check(arrays.Length() == tensors.size(), op, tensors.size(), " tensors and ", arrays.Length(), " arrays");
    std::vector<HostCopy> copies;
    for (uint32_t i = 0; i < arrays.Length(); ++i) {
      check(tensors[i].device() == device, op, "a tensor on ", device_name(tensors[i].device()));
      copies.push_back(copy_into(op, tensors[i], arrays[i]));
    }
    upload_beside(device, copies);
    return info.Env().Undefined();
  });
}

struct Reading {
  explicit Reading(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred deferred;
  std::vector<Napi::Reference<Napi::ArrayBuffer>> buffers;
  Napi::ThreadSafeFunction finish;
  std::mutex mutex;
  size_t waiting =
      1;  // devices that still have to reach the end of what was queued, and one for read() itself
  std::exception_ptr error;
};

void settle(Napi::Env env, Reading* reading) {
  const Napi::HandleScope scope(env);
  if (reading->error) {
    try {
      std::rethrow_exception(reading->error);
    } catch (const std::exception& e) {
      reading->deferred.Reject(Napi::Error::New(env, e.what()).Value());
    }
    return;
  }
  auto array = Napi::Array::New(env, reading->buffers.size());
  for (uint32_t i = 0; i < reading->buffers.size(); ++i) array[i] = reading->buffers[i].Value();
  reading->deferred.Resolve(array);
}

// One device is through, or read() has asked them all; the last one settles the promise.
void one_done(Reading* reading, std::exception_ptr error) {
  {
    const std::lock_guard lock(reading->mutex);
    if (error && !reading->error) reading->error = std::move(error);
    if (--reading->waiting > 0) return;
  }
  reading->finish.BlockingCall([reading](Napi::Env env, Napi::Function) { settle(env, reading); });
  reading->finish.Release();
}

// read(tensors: Handle[]): Promise<ArrayBuffer[]>, their contents when the work queued so far is done.
// Rejects with the error of that work, if there is one.
Napi::Value read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const auto tensors = from_js<std::vector<Tensor>>({info[0], "read", 0});
    auto* reading = new Reading(env);
    const auto promise = reading->deferred.Promise();
    reading->finish = Napi::ThreadSafeFunction::New(env, Napi::Function(), "read", 0, 1,
                                                    [reading](Napi::Env) { delete reading; });
    std::vector<Device> devices;
    for (const Tensor& tensor : tensors) {
      auto buffer = Napi::ArrayBuffer::New(env, tensor.bytes());
      download(tensor.device(), buffer.Data(), tensor.data(), tensor.bytes());
      reading->buffers.push_back(Napi::Persistent(buffer));
      if (std::ranges::find(devices, tensor.device()) == devices.end()) devices.push_back(tensor.device());
    }
    reading->waiting += devices.size();
    for (const Device device : devices)
      notify(device, [reading](std::exception_ptr error) { one_done(reading, std::move(error)); });
    one_done(reading, nullptr);
    return promise;
  });
}

// readSync(tensor): ArrayBuffer; waits. For tests and for start and end of a run, never within a step.
Napi::Value read_sync(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Tensor tensor = from_handle(info[0], "readSync", 0);
    auto buffer = Napi::ArrayBuffer::New(info.Env(), tensor.bytes());
    download(tensor.device(), buffer.Data(), tensor.data(), tensor.bytes());
    synchronize(tensor.device());
    return buffer;
  });
}

Napi::Value release(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    release_handle(info[0]);
    return info.Env().Undefined();
  });
}

}  // namespace

void register_tensor(Napi::Env env, Napi::Object exports) {
  bind(exports, "empty", &empty);
  bind(exports, "reshape", &reshape);
  bind(exports, "rows", &rows);
  bind(exports, "shapeOf", &shape_of);
  bind(exports, "dtypeOf", &dtype_of);
  bind(exports, "deviceOf", &device_of);
  exports.Set("fromBytes", Napi::Function::New(env, from_bytes, "fromBytes"));
  exports.Set("write", Napi::Function::New(env, write, "write"));
  exports.Set("writeBeside", Napi::Function::New(env, write_beside, "writeBeside"));
  exports.Set("read", Napi::Function::New(env, read, "read"));
  exports.Set("readSync", Napi::Function::New(env, read_sync, "readSync"));
  exports.Set("release", Napi::Function::New(env, release, "release"));
}

}  // namespace cae::binding
