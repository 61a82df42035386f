// Pictures: a pool of threads that decodes batches without blocking the event loop, and the resampler by
// itself.
#include <atomic>
#include <memory>
#include <vector>

#include "binding/convert.h"
#include "binding/image_job.h"
#include "binding/register.h"
#include "image/thread_pool.h"

namespace cae::binding {
namespace {

constexpr napi_type_tag kPoolTag{0x6361652d696d6167, 0x652d706f6f6c2d31};

class Pool;

struct Batch {
  Pool* pool;
  Napi::Promise::Deferred promise;
  // The pool's handle and every array the jobs touch.
  Napi::Reference<Napi::Array> alive;
  std::vector<image::Job> jobs;
  std::vector<image::Report> reports;
  std::atomic<size_t> left;
};

void settle(Napi::Env env, Napi::Function, std::nullptr_t*, Batch* batch);
using Channel = Napi::TypedThreadSafeFunction<std::nullptr_t, Batch, settle>;

// The threads, and the way back to the JavaScript thread. Everything but run_one happens on that thread.
class Pool {
 public:
  Pool(Napi::Env env, int threads) : env_(env), threads_(threads) {
    channel_ = Channel::New(env, "cae image pool", 0, 1);
    // An idle pool does not keep the process alive.
    channel_.Unref(env);
    // When the environment goes, jobs must stop before the arrays they write to are freed.
    napi_add_env_cleanup_hook(env, on_exit, this);
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { close(); }

  void start(Batch* batch) {
    if (pending_++ == 0) channel_.Ref(env_);
    for (size_t i = 0; i < batch->jobs.size(); ++i) threads_.submit([this, batch, i] { run_one(batch, i); });
  }
  void finished() {
    if (--pending_ == 0 && !closed_) channel_.Unref(env_);
  }
  bool closed() const { return closed_; }

  // Queued jobs are dropped, running ones are waited for (milliseconds); their batches' promises are
  // rejected.
  void close() {
    if (closed_) return;
    closed_ = true;
    threads_.close();
    napi_remove_env_cleanup_hook(env_, on_exit, this);
    channel_.Release();
  }

 private:
  static void on_exit(void* self) {
    auto* pool = static_cast<Pool*>(self);
    pool->closed_ = true;
    pool->threads_.close();
  }
  void run_one(Batch* batch, size_t i) {
    if (!threads_.closing()) batch->reports[i] = image::run(batch->jobs[i]);
    if (--batch->left == 0) channel_.NonBlockingCall(batch);
  }

  Napi::Env env_;
  Channel channel_;
  image::ThreadPool threads_;
  size_t pending_ = 0;
  bool closed_ = false;
};

void settle(Napi::Env env, Napi::Function, std::nullptr_t*, Batch* raw) {
  const std::unique_ptr<Batch> batch(raw);
  if (env == nullptr) {
    // The environment is gone, and its references with it.
    batch->alive.SuppressDestruct();
    return;
  }
  const Napi::HandleScope scope(env);
  batch->pool->finished();
  auto reports = Napi::Array::New(env, batch->reports.size());
  bool cancelled = false;
  for (uint32_t i = 0; i < batch->reports.size(); ++i) {
    cancelled |= batch->reports[i].outcome == image::Outcome::cancelled;
    reports.Set(i, report_to_js(env, batch->reports[i]));
  }
  if (cancelled) {
    batch->promise.Reject(Napi::Error::New(env, "[imageDecodeBatch] the pool was closed").Value());
  } else {
    batch->promise.Resolve(reports);
  }
}

Pool& pool_of(const Napi::Value& value) {
  const bool tagged = value.IsExternal() && value.As<Napi::External<Pool>>().CheckTypeTag(&kPoolTag);
  check(tagged, "image", "the first argument must be a pool, from imagePool(threads)");
  return *value.As<Napi::External<Pool>>().Data();
}

// imagePool(threads) → pool
Napi::Value image_pool(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto pool = std::make_unique<Pool>(env, from_js<int>({info[0], "imagePool", 0}));
    auto external =
        Napi::External<Pool>::New(env, pool.release(), [](Napi::Env, Pool* owned) { delete owned; });
    external.TypeTag(&kPoolTag);
    return external;
  });
}

// imagePoolClose(pool)
Napi::Value image_pool_close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    pool_of(info[0]).close();
    return info.Env().Undefined();
  });
}

// imageDecodeBatch(pool, jobs) → Promise of one report a job
Napi::Value image_decode_batch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Pool& pool = pool_of(info[0]);
    check(!pool.closed(), "imageDecodeBatch", "the pool was closed");
    check(info[1].IsArray(), "imageDecodeBatch", "jobs must be an array");
    const auto list = info[1].As<Napi::Array>();
    auto alive = Napi::Array::New(env);
    alive.Set(0u, info[0]);
    std::vector<image::Job> jobs;
    jobs.reserve(list.Length());
    for (uint32_t i = 0; i < list.Length(); ++i) jobs.push_back(image_job_from_js(list.Get(i), alive));
    const auto promise = Napi::Promise::Deferred::New(env);
    if (jobs.empty()) {
      promise.Resolve(Napi::Array::New(env));
      return promise.Promise();
    }
    const size_t count = jobs.size();
    auto* batch = new Batch{&pool, promise, Napi::Persistent(alive), std::move(jobs), {}, count};
    batch->reports.resize(count);
    pool.start(batch);
    return promise.Promise();
  });
}

// imageResizedCrop(pixels, height, width, [top, left, height, width], size, filter) → Uint8Array of
// size·size·3
Napi::Value image_resized_crop(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    auto job = Napi::Object::New(env);
    job.Set("pixels", info[0]);
    job.Set("height", info[1]);
    job.Set("width", info[2]);
    job.Set("crop", info[3]);
    job.Set("jitter", Napi::Array::New(env));
    auto view = Napi::Object::New(env);
    const auto size = from_js<uint32_t>({info[4], "imageResizedCrop", 4});
    check(size >= 1 && size <= 8192, "imageResizedCrop", "size ", size, "; give 1 to 8192");
    auto out = Napi::Uint8Array::New(env, size_t{3} * size * size);
    view.Set("out", out);
    view.Set("offset", 0);
    view.Set("size", info[4]);
    view.Set("filter", info[5]);
    auto views = Napi::Array::New(env);
    views.Set(0u, view);
    job.Set("views", views);
    const image::Report report = image::run(image_job_from_js(job, Napi::Array::New(env)));
    if (report.outcome != image::Outcome::done) throw Error(report.message);
    return out;
  });
}

}  // namespace

void register_image(Napi::Env env, Napi::Object exports) {
  exports.Set("imagePool", Napi::Function::New(env, image_pool, "imagePool"));
  exports.Set("imagePoolClose", Napi::Function::New(env, image_pool_close, "imagePoolClose"));
  exports.Set("imageDecodeBatch", Napi::Function::New(env, image_decode_batch, "imageDecodeBatch"));
  exports.Set("imageResizedCrop", Napi::Function::New(env, image_resized_crop, "imageResizedCrop"));
}

}  // namespace cae::binding
