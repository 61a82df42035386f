#include <utility>

#include "core/error.h"
#include "cuda/context.h"

namespace cae::cuda {

void throw_fault(Fault& fault) {
  const Fault found = std::exchange(fault, Fault{});
  switch (found.kind) {
    case Fault::CrossEntropyLabel:
      fail("cross_entropy", "label ", found.value, " of row ", found.place, " is outside ", found.limit,
           " classes");
    case Fault::UnfoldPatchesIndex:
      fail("unfold_patches", "index ", found.value, " is outside a table of ", found.limit);
    case Fault::EmbedTokensIndex:
      fail("embed_tokens", "index ", found.value, " is outside a table of ", found.limit);
    case Fault::GatherRowsIndex:
      fail("gather_rows", "index ", found.value, " is outside a table of ", found.limit);
    default:
      return;
  }
}

}  // namespace cae::cuda
