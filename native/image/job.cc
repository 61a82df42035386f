#include "image/job.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>

#include "core/error.h"
#include "image/jpeg.h"
#include "image/packing.h"

namespace cae::image {
namespace {

// A thread's memory. One huge picture should not stay in it for good.
struct Workspace {
  static constexpr size_t kKeep = size_t{64} << 20;
  Buffer file, pixels, rows, view, other_view;
  void trim() {
    for (Buffer* buffer : {&file, &pixels, &rows, &view, &other_view}) buffer->trim(kKeep);
  }
};

struct Bytes {
  const uint8_t* data;
  size_t count;
};

class File {
 public:
  // Without waiting: a pipe of that name would be waited for.
  explicit File(const std::string& path)
      : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) throw Error(std::strerror(errno));
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  Bytes read_all(Buffer& memory) const {
    struct stat status {};
    if (fstat(descriptor_, &status) != 0) throw Error(std::strerror(errno));
    if (!S_ISREG(status.st_mode)) throw Error("not a regular file");
    const auto expected = static_cast<size_t>(status.st_size);
    uint8_t* data = memory.reserve(expected + 1);
    size_t count = 0;
    while (count < expected) {
      const ssize_t got = ::read(descriptor_, data + count, expected - count);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Error(std::strerror(errno));
      if (got == 0) break;
      count += static_cast<size_t>(got);
    }
    return {data, count};
  }

 private:
  int descriptor_;
};

// The operations on a view that was written already.
void change(const View& view, const std::vector<Operation>& operations, Workspace& workspace) {
  const Picture picture =
      unpack(view.out, 3 * static_cast<ptrdiff_t>(view.size), {0, 0, view.size, view.size}, workspace.view);
  pack(apply(picture, operations, workspace.view, workspace.other_view), view.out);
}

Box whole(Size size) {
  return {0, 0, size.height, size.width};
}

Box crop_of(const CropRule& rule, Size size) {
  if (const auto* random = std::get_if<RandomCrop>(&rule)) return random_crop(*random, size);
  if (std::holds_alternative<CentreCrop>(rule)) return whole(size);
  const Box& box = std::get<Box>(rule);
  check(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
            box.height <= size.height - box.top && box.width <= size.width - box.left,
        "imageCrop", "a crop of ", box.height, "x", box.width, " at ", box.top, ",", box.left,
        " does not lie in a picture of ", size.height, "x", size.width);
  return box;
}

// `decode(box, memory)` gives the pixels of a box of a picture of `size` pixels.
template <typename Decode>
void process(const Job& job, Size size, Decode&& decode, Workspace& workspace, Report& report) {
  report.size = size;
  report.crop = crop_of(job.crop, size);
  // The crop is meant in the mirrored picture: take its mirror image from the picture as it is.
  Box box = report.crop;
  if (job.mirrored) box.left = size.width - box.left - box.width;

  Picture picture;
  if (needs_whole_picture(job.jitter)) {
    const Picture all = decode(whole(size), workspace.pixels);
    jitter(all, job.jitter);
    picture = all.crop(box);
  } else {
    picture = decode(box, workspace.pixels);
    jitter(picture, job.jitter);
  }
  // Before resizing, since the filter's rounding is not symmetric.
  if (job.mirrored) flip(picture);
  const bool centre = std::holds_alternative<CentreCrop>(job.crop);
  for (const View& view : job.views) {
    const Resize resize = centre ? resize_and_centre(picture.size, view.shorter, view.size, view.filter)
                                 : resize_to(view.size, view.filter);
    resample(picture, resize, view.out, workspace.rows);
    if (!job.operations.empty()) change(view, job.operations, workspace);
  }
  report.outcome = Outcome::done;
}

void read(const Job& job, Workspace& workspace, Report& report) {
  if (const auto* pixels = std::get_if<PixelSource>(&job.source)) {
    const ptrdiff_t stride = 3 * static_cast<ptrdiff_t>(pixels->size.width);
    const auto decode = [&](const Box& box, Buffer& memory) {
      return unpack(pixels->rgb, stride, box, memory);
    };
    return process(job, pixels->size, decode, workspace, report);
  }
  const Bytes file = File(std::get<std::string>(job.source)).read_all(workspace.file);
  if (file.count == 0) throw Error("the file is empty");
  if (!is_jpeg(file.data, file.count)) {
    report.outcome = Outcome::other_format;
    return;
  }
  JpegReader reader(file.data, file.count);
  const auto decode = [&](const Box& box, Buffer& memory) { return reader.decode(box, memory); };
  process(job, reader.size(), decode, workspace, report);
}

}  // namespace

Report run(const Job& job) {
  thread_local Workspace workspace;
  Report report;
  try {
    read(job, workspace, report);
  } catch (const std::bad_alloc&) {
    report.outcome = Outcome::failed;
    report.message = "not enough memory for its pixels";
  } catch (const std::exception& error) {
    report.outcome = Outcome::failed;
    report.message = error.what();
  }
  workspace.trim();
  return report;
}

}  // namespace cae::image
