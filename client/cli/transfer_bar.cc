#include "client/cli/transfer_bar.h"

#include "absl/time/clock.h"
#include "client/cli/output.h"

namespace atelier::cli {

void TransferBar::Show(std::uint64_t done, std::uint64_t total) {
  const absl::Time now = absl::Now();
  if (done < total && now - drawn_ < absl::Milliseconds(100)) {
    return;
  }
  drawn_ = now;
  start_ = start_.value_or(now);
  const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  const double seconds = absl::ToDoubleSeconds(now - *start_);
  std::string text = BytesText(done) + " of " + BytesText(total);
  if (done > 0 && seconds > 0) {
    const double rate = static_cast<double>(done) / seconds;
    text += "  " + BytesText(static_cast<std::uint64_t>(rate)) + "/s  ETA " +
            DurationText((now - *start_) * (1 / share - 1));
  }
  bar_.Draw(share, text);
}

}  // namespace atelier::cli
