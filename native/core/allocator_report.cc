// What is said when a device's memory is used up.
#include <algorithm>
#include <iomanip>
#include <sstream>
#include <vector>

#include "core/allocator.h"
#include "core/error.h"

namespace cae {
namespace {

constexpr size_t kGroups = 3;

// Live blocks of one size and purpose.
struct Group {
  Purpose purpose;
  size_t size = 0;  // of each
  size_t count = 0;
};

std::string mib(size_t bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 20) << " MiB";
  return text.str();
}

std::string purpose_text(const Purpose& purpose) {
  if (purpose.shape.rank() == 0)
    return concat("workspace", purpose.op == nullptr ? "" : concat(" of ", purpose.op));
  const std::string tensor = concat(purpose.shape, " ", dtype_name(purpose.dtype));
  return purpose.op == nullptr ? tensor : concat(tensor, " of ", purpose.op);
}

}  // namespace

void CachingAllocator::fail_out_of_memory(size_t size, const Purpose& purpose) const {
  std::vector<Group> groups;
  for (const auto& [start, block] : blocks_) {
    if (block.free) continue;
    const auto same = std::find_if(groups.begin(), groups.end(), [&b = block](const Group& group) {
      return group.size == b.size && group.purpose == b.purpose;
    });
    if (same == groups.end())
      groups.push_back({block.purpose, block.size, 1});
    else
      ++same->count;
  }
  std::sort(groups.begin(), groups.end(),
            [](const Group& a, const Group& b) { return a.size * a.count > b.size * b.count; });
  groups.resize(std::min(groups.size(), kGroups));
  std::string largest;
  for (const Group& group : groups)
    largest += concat(largest.empty() ? "; most of it: " : ", ", group.count, " x ", mib(group.size), " (",
                      purpose_text(group.purpose), ")");
  std::string whole;
  if (source_.memory) {
    const DeviceMemory memory = source_.memory();
    if (memory.total > 0)
      whole = concat(", ", mib(memory.free), " of the device's ", mib(memory.total), " free");
  }
  fail("allocate", device_, " is out of memory: ", mib(size), " wanted for ", purpose_text(purpose), ", ",
       mib(statistics_.allocated), " in use by ", statistics_.live_blocks, " tensors, ",
       mib(statistics_.reserved), " held", whole, largest,
       "; lower --batch_size (and raise --update_freq in its place), --input_size or the model, or add "
       "--activation_checkpointing");
}

}  // namespace cae
