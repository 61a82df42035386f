#include "binding/image_job.h"

#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"

namespace cae::binding {
namespace {

constexpr const char* kOp = "imageDecodeBatch";
constexpr int kLargestSide = 1 << 16;

double number(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  check(value.IsNumber(), kOp, field, " must be a number");
  return value.As<Napi::Number>().DoubleValue();
}

int side(const Napi::Object& object, const char* field) {
  const double value = number(object, field);
  check(value >= 1 && value <= kLargestSide && value == std::floor(value), kOp, field,
        " must be a whole number of 1 to ", kLargestSide, ", not ", value);
  return static_cast<int>(value);
}

std::string text(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  check(value.IsString(), kOp, field, " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Array list(const Napi::Object& object, const char* field) {
  const Napi::Value value = object.Get(field);
  check(value.IsArray(), kOp, field, " must be an array");
  return value.As<Napi::Array>();
}

Napi::Object item(const Napi::Array& array, uint32_t i, const char* what) {
  const Napi::Value value = array.Get(i);
  check(value.IsObject(), kOp, what, " must be an object");
  return value.As<Napi::Object>();
}

void keep(Napi::Array arrays, const Napi::Value& value) {
  arrays.Set(arrays.Length(), value);
}

image::Source source_of(const Napi::Object& job, Napi::Array arrays) {
  if (job.Has("path")) return text(job, "path");
  const Napi::Uint8Array pixels = bytes_from_js(job.Get("pixels"), "pixels");
  const image::Size size{side(job, "height"), side(job, "width")};
  const size_t expected = 3 * static_cast<size_t>(size.height) * size.width;
  check(pixels.ByteLength() == expected, kOp, "pixels has ", pixels.ByteLength(), " bytes; ", size.height,
        "x", size.width, " RGB pixels have ", expected);
  keep(arrays, pixels);
  return image::PixelSource{pixels.Data(), size};
}

image::CropRule crop_of(const Napi::Object& job) {
  const Napi::Value value = job.Get("crop");
  if (value.IsArray()) return box_from_js(value);
  check(value.IsObject(), kOp, "crop must be an object or [top, left, height, width]");
  const auto object = value.As<Napi::Object>();
  const std::string kind = text(object, "kind");
  if (kind == "centre") return image::CentreCrop{};
  check(kind == "random", kOp, "crop.kind must be random or centre, not '", kind, "'");
  image::RandomCrop crop;
  crop.min_scale = number(object, "minScale");
  crop.max_scale = number(object, "maxScale");
  check(crop.min_scale > 0 && crop.min_scale <= crop.max_scale && crop.max_scale <= 1, kOp,
        "a crop scale of ", crop.min_scale, " to ", crop.max_scale, "; give 0 < minScale <= maxScale <= 1");
  crop.clamped = object.Get("clamped").ToBoolean();
  const Napi::Value draws = object.Get("draws");
  check(draws.IsTypedArray() && draws.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array, kOp,
        "crop.draws must be a Float64Array");
  const auto array = draws.As<Napi::Float64Array>();
  check(array.ElementLength() == crop.draws.size(), kOp, "crop.draws has ", array.ElementLength(),
        " numbers, not ", crop.draws.size());
  for (size_t i = 0; i < crop.draws.size(); ++i) {
    check(array[i] >= 0 && array[i] < 1, kOp, "crop.draws must lie in [0, 1)");
    crop.draws[i] = array[i];
  }
  return crop;
}

image::Operation operation_of(const Napi::Object& object) {
  image::Operation operation{image::operation_from_name(text(object, "kind"))};
  if (object.Has("value")) operation.value = number(object, "value");
  if (object.Has("filter")) operation.filter = image::affine_filter_from_name(text(object, "filter"));
  if (object.Has("fill")) {
    const Napi::Array fill = list(object, "fill");
    check(fill.Length() == 3, kOp, "operations[].fill has ", fill.Length(), " numbers, not 3");
    for (uint32_t c = 0; c < 3; ++c) {
      const Napi::Value part = fill.Get(c);
      const double v = part.IsNumber() ? part.As<Napi::Number>().DoubleValue() : -1;
      check(v >= 0 && v <= 255, kOp, "operations[].fill must be three numbers of 0 to 255");
      operation.fill[c] = static_cast<uint8_t>(v);
    }
  }
  check_operation(operation);
  return operation;
}

image::View view_of(const Napi::Object& view, Napi::Array arrays) {
  Napi::Uint8Array out = bytes_from_js(view.Get("out"), "views[].out");
  const int size = side(view, "size");
  const double offset = number(view, "offset");
  const double bytes = 3.0 * size * size;
  check(
      offset >= 0 && offset == std::floor(offset) && offset + bytes <= static_cast<double>(out.ByteLength()),
      kOp, "a view of ", size, "x", size, " at byte ", offset, " does not fit into ", out.ByteLength(),
      " bytes");
  const int shorter = view.Has("shorter") ? side(view, "shorter") : size;
  check(shorter >= size, kOp, "a view of ", size, " pixels cannot be cut from a shorter side of ", shorter);
  keep(arrays, out);
  return {out.Data() + static_cast<size_t>(offset), size, shorter,
          image::filter_from_name(text(view, "filter"))};
}

const char* name_of(image::Outcome outcome) {
  switch (outcome) {
    case image::Outcome::done:
      return "done";
    case image::Outcome::failed:
      return "failed";
    case image::Outcome::other_format:
      return "other-format";
    case image::Outcome::cancelled:
      return "cancelled";
  }
  return "";
}

}  // namespace

Napi::Uint8Array bytes_from_js(const Napi::Value& value, const char* what) {
  const bool bytes =
      value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  check(bytes, "image", what, " must be a Uint8Array");
  return value.As<Napi::Uint8Array>();
}

image::Box box_from_js(const Napi::Value& value) {
  check(value.IsArray() && value.As<Napi::Array>().Length() == 4, "image",
        "a crop is [top, left, height, width]");
  int parts[4];
  for (uint32_t i = 0; i < 4; ++i) {
    const Napi::Value part = value.As<Napi::Array>().Get(i);
    check(part.IsNumber(), "image", "a crop's four parts must be numbers");
    const double v = part.As<Napi::Number>().DoubleValue();
    check(v == std::floor(v) && std::fabs(v) <= kLargestSide, "image",
          "a crop's four parts must be whole numbers");
    parts[i] = static_cast<int>(v);
  }
  return {parts[0], parts[1], parts[2], parts[3]};
}

image::Job image_job_from_js(const Napi::Value& value, Napi::Array arrays) {
  check(value.IsObject(), kOp, "a job must be an object");
  const auto object = value.As<Napi::Object>();
  image::Job job;
  job.source = source_of(object, arrays);
  job.crop = crop_of(object);
  job.mirrored = object.Get("mirrored").ToBoolean();
  const Napi::Array jitter = list(object, "jitter");
  for (uint32_t i = 0; i < jitter.Length(); ++i) {
    const Napi::Object step = item(jitter, i, "jitter[]");
    job.jitter.push_back(
        {image::jitter_from_name(text(step, "kind")), static_cast<float>(number(step, "factor"))});
    check(job.jitter.back().factor >= 0, kOp, "jitter[].factor must not be negative");
  }
  if (object.Has("operations")) {
    const Napi::Array operations = list(object, "operations");
    for (uint32_t i = 0; i < operations.Length(); ++i)
      job.operations.push_back(operation_of(item(operations, i, "operations[]")));
  }
  const Napi::Array views = list(object, "views");
  check(views.Length() > 0, kOp, "views must not be empty");
  for (uint32_t i = 0; i < views.Length(); ++i)
    job.views.push_back(view_of(item(views, i, "views[]"), arrays));
  return job;
}

Napi::Object report_to_js(Napi::Env env, const image::Report& report) {
  auto object = Napi::Object::New(env);
  object.Set("outcome", name_of(report.outcome));
  object.Set("message", report.message);
  object.Set("height", report.size.height);
  object.Set("width", report.size.width);
  auto crop = Napi::Array::New(env, 4);
  const int parts[4] = {report.crop.top, report.crop.left, report.crop.height, report.crop.width};
  for (uint32_t i = 0; i < 4; ++i) crop.Set(i, parts[i]);
  object.Set("crop", crop);
  return object;
}

}  // namespace cae::binding
