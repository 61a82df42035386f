// Tensors' own functions: making, reading, views, release.
#include <algorithm>
#include <functional>
#include <memory>
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

// What a read's devices and the JavaScript thread share of it: the devices still to come through, and one for
// read() itself.
class Progress {
 public:
  // Whoever is last calls finish().
  void one_done(Device device, std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (error) failures_.push_back({device, std::move(error)});
    if (--waiting_ > 0) return;
    closed_ = true;
    finish_();
  }
  void wait_for(size_t devices, std::function<void()> finish) {
    waiting_ = devices + 1;
    finish_ = std::move(finish);
  }
  std::shared_ptr<HostMemory> memory(void* data) {
    memory_.push_back(std::make_shared<HostMemory>(data));
    return memory_.back();
  }
  // From here on nothing is written and nobody is called.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const auto& memory : memory_) memory->close();
  }
  // Takes note of the errors and gives the first one.
  std::exception_ptr acknowledged() const {
    for (const auto& [device, error] : failures_) acknowledge(device, error);
    return failures_.empty() ? nullptr : failures_.front().second;
  }

 private:
  std::mutex mutex_;
  size_t waiting_ = 0;
  bool closed_ = false;
  std::function<void()> finish_;
  std::vector<std::shared_ptr<HostMemory>> memory_;
  std::vector<std::pair<Device, std::exception_ptr>> failures_;
};

// The JavaScript thread's part. When the environment goes first, devices must stop writing before the arrays
// do.
struct Reading {
  explicit Reading(Napi::Env environment)
      : env(environment), deferred(Napi::Promise::Deferred::New(environment)) {}
  ~Reading() {
    progress->close();
    if (hooked) napi_remove_env_cleanup_hook(env, on_exit, this);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  static void on_exit(void* self) { static_cast<Reading*>(self)->progress->close(); }
  void hook() {
    napi_add_env_cleanup_hook(env, on_exit, this);
    hooked = true;
  }

  Napi::Env env;
  Napi::Promise::Deferred deferred;
  std::vector<Napi::Reference<Napi::ArrayBuffer>> buffers;
  std::shared_ptr<Progress> progress = std::make_shared<Progress>();
  bool hooked = false;
};

void settle(Napi::Env env, Reading* reading) {
  const Napi::HandleScope scope(env);
  if (const auto error = reading->progress->acknowledged()) {
    try {
      std::rethrow_exception(error);
    } catch (const Error& e) {
      reading->deferred.Reject(Napi::Error::New(env, e.what()).Value());
    }
    return;
  }
  auto array = Napi::Array::New(env, reading->buffers.size());
  for (uint32_t i = 0; i < reading->buffers.size(); ++i) array[i] = reading->buffers[i].Value();
  reading->deferred.Resolve(array);
}

// read(tensors: Handle[]): Promise<ArrayBuffer[]>, their contents when the work queued so far is done.
// Rejects with the error of that work, if there is one.
Napi::Value read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const auto tensors = from_js<std::vector<Tensor>>({info[0], "read", 0});
    auto owned = std::make_unique<Reading>(env);
    std::vector<Device> devices;
    for (const Tensor& tensor : tensors) {
      auto buffer = Napi::ArrayBuffer::New(env, tensor.bytes());
      owned->buffers.push_back(Napi::Persistent(buffer));
      download(tensor.device(), owned->progress->memory(buffer.Data()), tensor.data(), tensor.bytes());
      if (std::ranges::find(devices, tensor.device()) == devices.end()) devices.push_back(tensor.device());
    }
    const auto promise = owned->deferred.Promise();
    const auto progress = owned->progress;
    Reading* const reading = owned.release();
    const auto finish = Napi::ThreadSafeFunction::New(env, Napi::Function(), "read", 0, 1,
                                                      [reading](Napi::Env) { delete reading; });
    reading->hook();  // after the function has set its own: they are called last come, first
    progress->wait_for(devices.size(), [finish, reading] {
      finish.BlockingCall([reading](Napi::Env e, Napi::Function) {
        try {
          settle(e, reading);
        } catch (const Napi::Error&) {  // the environment is going: nobody is left to tell
        }
      });
      finish.Release();
    });
    for (const Device device : devices)
      notify(device,
             [progress, device](std::exception_ptr error) { progress->one_done(device, std::move(error)); });
    progress->one_done({}, nullptr);
    return promise;
  });
}

// readSync(tensor): ArrayBuffer; waits. For tests and for start and end of a run, never within a step.
Napi::Value read_sync(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Tensor tensor = from_handle(info[0], "readSync", 0);
    auto buffer = Napi::ArrayBuffer::New(info.Env(), tensor.bytes());
    download(tensor.device(), std::make_shared<HostMemory>(buffer.Data()), tensor.data(), tensor.bytes());
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
