// Feeds the picture reader mutated JPEG files. Built with AddressSanitizer and UBSan by jpeg.sh, which also
// makes the seeds. A reader may give a picture or say why not; whatever a sanitizer finds ends the run, as
// does an input that takes more than kMostSeconds or kMostBytes.
//
// usage: jpeg SEEDS INPUTS SEED SCRATCH     SEEDS: a folder of JPEG files; SCRATCH: a file to write inputs to
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "image/job.h"

namespace {

using Bytes = std::vector<uint8_t>;
constexpr double kMostSeconds = 5;
constexpr long kMostBytes = 2L << 30;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  size_t below(size_t bound) { return engine_() % bound; }
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

 private:
  std::mt19937_64 engine_;
};

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// One change: a bit, a byte, a marker, a size, a piece removed, doubled or of another file, an end cut off.
void change(Bytes& bytes, const Bytes& other, Random& random) {
  static constexpr uint8_t kMarkers[] = {0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xD0, 0xD8, 0xD9,
                                         0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE};
  static constexpr uint8_t kEdges[] = {0, 1, 2, 3, 0x10, 0x11, 0x22, 0x44, 0x7F, 0x80, 0xFE, 0xFF};
  // Headers are where a change matters most.
  const size_t reach = random.below(2) == 0 ? std::min<size_t>(bytes.size(), 700) : bytes.size();
  const size_t at = random.below(reach);
  const size_t length = std::min(1 + random.below(random.below(4) == 0 ? 200 : 8), bytes.size() - at);
  const auto from = bytes.begin() + static_cast<ptrdiff_t>(at);
  switch (random.below(9)) {
    case 0:
      bytes[at] ^= static_cast<uint8_t>(1 << random.below(8));
      break;
    case 1:
      bytes[at] = static_cast<uint8_t>(random.below(256));
      break;
    case 2:
      bytes[at] = kEdges[random.below(std::size(kEdges))];
      break;
    case 3:
      bytes[at] = 0xFF;
      if (at + 1 < bytes.size()) bytes[at + 1] = kMarkers[random.below(std::size(kMarkers))];
      break;
    case 4:
      bytes.erase(from, from + static_cast<ptrdiff_t>(length));
      break;
    case 5: {
      const Bytes piece(from, from + static_cast<ptrdiff_t>(length));
      bytes.insert(from, piece.begin(), piece.end());
      break;
    }
    case 6: {
      const size_t start = random.below(other.size());
      const size_t count = std::min({length, other.size() - start, bytes.size() - at});
      std::copy_n(other.begin() + static_cast<ptrdiff_t>(start), count, from);
      break;
    }
    case 7:
      // The frame header's height, width and sampling, where it is found.
      for (size_t i = 0; i + 19 < bytes.size(); ++i)
        if (bytes[i] == 0xFF && (bytes[i + 1] == 0xC0 || bytes[i + 1] == 0xC2)) {
          bytes[i + 4 + random.below(15)] = kEdges[random.below(std::size(kEdges))];
          break;
        }
      break;
    default:
      if (random.below(4) == 0) bytes.resize(at);
  }
}

// What a loader asks for: any crop rule, mirroring, jitter, one or two views of any filter.
cae::image::Job job_for(const std::string& path, std::vector<uint8_t>& out, Random& random) {
  using namespace cae::image;
  static constexpr Filter kFilters[] = {Filter::box, Filter::bilinear, Filter::hamming, Filter::bicubic,
                                        Filter::lanczos};
  Job job;
  job.source = path;
  switch (random.below(3)) {
    case 0: {
      RandomCrop crop;
      for (double& draw : crop.draws) draw = random.unit();
      job.crop = crop;
      break;
    }
    case 1:
      job.crop = CentreCrop{};
      break;
    default: {
      const auto side = [&] { return static_cast<int>(random.below(70)); };
      job.crop = Box{side(), side(), side(), side()};
    }
  }
  job.mirrored = random.below(2) == 0;
  if (random.below(2) == 0) {
    for (const Jitter kind : {Jitter::contrast, Jitter::saturation, Jitter::brightness})
      if (random.below(2) == 0) job.jitter.push_back({kind, static_cast<float>(2 * random.unit())});
  }
  uint8_t* at = out.data();
  for (size_t i = 0; i <= random.below(2); ++i) {
    const int size = 1 + static_cast<int>(random.below(48));
    job.views.push_back({at, size, size + static_cast<int>(random.below(20)), kFilters[random.below(5)]});
    at += size_t{3} * static_cast<size_t>(size) * static_cast<size_t>(size);
  }
  return job;
}

[[noreturn]] void found(const std::string& path, const std::string& what) {
  std::printf("FINDING %s: %s\n", path.c_str(), what.c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  std::vector<Bytes> seeds;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) seeds.push_back(read_file(entry));
  std::sort(seeds.begin(), seeds.end());
  const size_t inputs = std::strtoull(argv[2], nullptr, 10);
  Random random(std::strtoull(argv[3], nullptr, 10));
  const std::string path = argv[4];
  // Exactly as large as two views can be, so that a byte past the end is seen.
  size_t outcomes[4] = {};
  for (size_t i = 0; i < inputs; ++i) {
    Bytes bytes = seeds[random.below(seeds.size())];
    const size_t changes = i < seeds.size() ? 0 : random.below(3) > 0 ? 1 : 2 + random.below(5);
    for (size_t c = 0; c < changes && !bytes.empty(); ++c)
      change(bytes, seeds[random.below(seeds.size())], random);
    {
      std::ofstream file(path, std::ios::binary | std::ios::trunc);
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    std::vector<uint8_t> out(size_t{2} * 3 * 48 * 48);
    const cae::image::Job job = job_for(path, out, random);
    const auto start = std::chrono::steady_clock::now();
    const cae::image::Report report = cae::image::run(job);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    ++outcomes[static_cast<size_t>(report.outcome)];
    if (report.outcome == cae::image::Outcome::failed && report.message.empty())
      found(path, "failed without saying why");
    if (report.message.find('\n') != std::string::npos) found(path, "a message of several lines");
    if (seconds.count() > kMostSeconds) found(path, "took " + std::to_string(seconds.count()) + " s");
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    if (usage.ru_maxrss * 1024 > kMostBytes) found(path, "took " + std::to_string(usage.ru_maxrss) + " KiB");
  }
  std::printf("jpeg: %zu inputs, %zu read, %zu refused, %zu of another format, 0 findings\n", inputs,
              outcomes[0], outcomes[1], outcomes[2]);
}
