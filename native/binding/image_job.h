#pragma once

#include <napi.h>

#include "image/job.h"

// Conversions between the image family's JavaScript objects and its C++ types.
namespace cae::binding {

// One job of imageDecodeBatch. The arrays it reads from and writes to are appended to `arrays`, whose owner
// keeps them alive while the job runs. Throws Error naming the field that is wrong.
image::Job image_job_from_js(const Napi::Value& value, Napi::Array arrays);

// [top, left, height, width].
image::Box box_from_js(const Napi::Value& value);

// Bytes of a Uint8Array; throws Error for anything else.
Napi::Uint8Array bytes_from_js(const Napi::Value& value, const char* what);

// {outcome, message, height, width, crop}.
Napi::Object report_to_js(Napi::Env env, const image::Report& report);

}  // namespace cae::binding
