#include "image/jpeg.h"

#include <cstdio>
// jpeglib.h wants stdio first.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <string>

#include "core/error.h"

namespace cae::image {
namespace {

// Pictures past this are refused, as Pillow refuses them: a few bytes of a forged header could ask for
// gigabytes.
constexpr int64_t kMostPixels = 178'956'970;
// Nor do so many pixels come of so few bytes: a Huffman coder spends a bit at the least on 64 of them. (An
// arithmetic coder spends less only on a blank picture.) It bounds what a file can ask for by its own size.
constexpr int64_t kMostPixelsPerByte = 4096;

struct Errors {
  jpeg_error_mgr manager;  // first: libjpeg's pointer to it is a pointer to this
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
  bool end_missing;
};

Errors* errors_of(j_common_ptr info) {
  return reinterpret_cast<Errors*>(info->err);
}

[[noreturn]] void on_error(j_common_ptr info) {
  Errors* errors = errors_of(info);
  (*info->err->format_message)(info, errors->message);
  std::longjmp(errors->escape, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  Errors* errors = errors_of(info);
  if (info->err->msg_code == JWRN_JPEG_EOF) errors->end_missing = true;
}

// Pillow's conversion of CMYK, which JPEG files hold inverted.
void cmyk_to_rgbx(uint8_t* row, int width) {
  for (int x = 0; x < width; ++x, row += 4) {
    const int light = row[3];
    for (int channel = 0; channel < 3; ++channel) {
      const int product = (255 - row[channel]) * light + 128;
      row[channel] = static_cast<uint8_t>(std::clamp(light - (((product >> 8) + product) >> 8), 0, 255));
    }
  }
}

}  // namespace

struct JpegReader::State {
  jpeg_decompress_struct info;
  Errors errors;
  const uint8_t* end;

  // The three parts that call libjpeg. An error jumps back to their beginning, so they own nothing that would
  // need a destructor; they return false, with errors.message set.
  bool open(const uint8_t* data, size_t bytes);
  bool start(const Box& box, JDIMENSION& left, JDIMENSION& width);
  bool read(const Box& box, const Picture& picture);
  // Whether an end marker follows the place where the pixels' data begin. In those data it cannot occur, and
  // a preview inside the header lies before them.
  bool has_end_marker() const;
};

bool JpegReader::State::open(const uint8_t* data, size_t bytes) {
  if (setjmp(errors.escape) != 0) return false;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, data, bytes);
  jpeg_read_header(&info, TRUE);
  return true;
}

bool JpegReader::State::start(const Box& box, JDIMENSION& left, JDIMENSION& width) {
  if (setjmp(errors.escape) != 0) return false;
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_EXT_RGBX;
  jpeg_start_decompress(&info);
  // Upsampling the colour looks at neighbours, and takes the border of what is decoded for the picture's:
  // decode a little more on both sides. Smoothing of an incomplete progressive file looks further; decode all
  // columns.
  if (info.progressive_mode) {
    left = 0;
    width = info.output_width;
    return true;
  }
  constexpr int margin = 4;
  const int from = std::max(0, box.left - margin);
  const int to = std::min(static_cast<int>(info.output_width), box.left + box.width + margin);
  left = static_cast<JDIMENSION>(from);
  width = static_cast<JDIMENSION>(to - from);
  jpeg_crop_scanline(&info, &left, &width);
  return true;
}

bool JpegReader::State::read(const Box& box, const Picture& picture) {
  if (setjmp(errors.escape) != 0) return false;
  if (box.top > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(box.top));
  for (int y = 0; y < box.height; ++y) {
    JSAMPROW row = picture.row(y);
    jpeg_read_scanlines(&info, &row, 1);
  }
  return true;
}

bool JpegReader::State::has_end_marker() const {
  const uint8_t* begin = info.src->next_input_byte;
  for (const uint8_t* at = end - 1; at > begin; --at) {
    at = static_cast<const uint8_t*>(memrchr(begin, JPEG_EOI, at - begin + 1));
    if (at == nullptr || at == begin) return false;
    if (at[-1] == 0xFF) return true;
  }
  return false;
}

bool is_jpeg(const uint8_t* data, size_t bytes) {
  return bytes >= 3 && data[0] == 0xFF && data[1] == 0xD8 && data[2] == 0xFF;
}

JpegReader::JpegReader(const uint8_t* data, size_t bytes) : state_(std::make_unique<State>()) {
  State& s = *state_;
  std::memset(&s.info, 0, sizeof(s.info));
  s.end = data + bytes;
  s.info.err = jpeg_std_error(&s.errors.manager);
  s.errors.manager.error_exit = on_error;
  s.errors.manager.emit_message = on_message;
  s.errors.end_missing = false;
  if (!s.open(data, bytes)) {
    jpeg_destroy_decompress(&s.info);
    fail("jpeg",
         s.errors.end_missing ? "the file is truncated: it ends inside its header" : s.errors.message);
  }
  const int64_t pixels = static_cast<int64_t>(s.info.image_height) * s.info.image_width;
  if (pixels > kMostPixels) {
    const std::string text =
        concat(s.info.image_height, "x", s.info.image_width, " pixels are more than the ", kMostPixels,
               " that are read; make the picture smaller");
    jpeg_destroy_decompress(&s.info);
    fail("jpeg", text);
  }
  if (pixels / kMostPixelsPerByte > static_cast<int64_t>(bytes)) {
    const std::string text = concat(bytes, " bytes are too few for ", s.info.image_height, "x",
                                    s.info.image_width, " pixels; the file is damaged");
    jpeg_destroy_decompress(&s.info);
    fail("jpeg", text);
  }
}

JpegReader::~JpegReader() {
  jpeg_destroy_decompress(&state_->info);
}

Size JpegReader::size() const {
  return {static_cast<int>(state_->info.image_height), static_cast<int>(state_->info.image_width)};
}

Picture JpegReader::decode(const Box& box, Buffer& memory) {
  State& s = *state_;
  JDIMENSION left = 0, width = 0;
  if (!s.start(box, left, width)) fail("jpeg", s.errors.message);
  // A file that was cut off fails whatever the crop, also where the crop lies above the cut.
  const bool complete = jpeg_has_multiple_scans(&s.info) ? !s.errors.end_missing : s.has_end_marker();
  if (!complete) fail("jpeg", "the file is truncated: it ends before its picture does");
  const Picture decoded = make_picture(memory, {box.height, static_cast<int>(width)});
  if (!s.read(box, decoded)) fail("jpeg", s.errors.message);
  if (s.info.out_color_space == JCS_CMYK)
    for (int y = 0; y < box.height; ++y) cmyk_to_rgbx(decoded.row(y), decoded.size.width);
  return decoded.crop({0, box.left - static_cast<int>(left), box.height, box.width});
}

}  // namespace cae::image
