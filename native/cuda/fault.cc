#include <utility>

#include "core/error.h"
#include "cuda/context.h"

namespace cae::cuda {
namespace {

[[noreturn]] void fail_label(const char* op, const Fault& found) {
  fail(op, "label ", found.value, " of row ", found.place, " is outside ", found.limit, " classes");
}
[[noreturn]] void fail_index(const char* op, const Fault& found) {
  fail(op, "index ", found.value, " is outside a table of ", found.limit);
}

}  // namespace

void throw_fault(Fault& fault) {
  const Fault found = std::exchange(fault, Fault{});
  switch (found.kind) {
    case Fault::CrossEntropyLabel:
      fail_label("cross_entropy", found);
    case Fault::SmoothCrossEntropyLabel:
      fail_label("smooth_cross_entropy", found);
    case Fault::LabelRanksLabel:
      fail_label("label_ranks", found);
    case Fault::UnfoldPatchesIndex:
      fail_index("unfold_patches", found);
    case Fault::EmbedTokensIndex:
      fail_index("embed_tokens", found);
    case Fault::GatherRowsIndex:
      fail_index("gather_rows", found);
    case Fault::PositionBiasIndex:
      fail_index("position_bias", found);
    case Fault::MixImagesPartner:
      fail("mix_images", "partner ", found.value, " is outside a batch of ", found.limit);
    default:
      return;
  }
}

}  // namespace cae::cuda
