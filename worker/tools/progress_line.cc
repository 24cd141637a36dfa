#include "worker/tools/progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>

#include "worker/tools/progress_bar.h"

namespace atelier::tools {

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (drawn_) {
    std::fputc('\n', stderr);
  }
}

void ProgressLine::Clear() {
  if (drawn_) {
    std::fputs("\r\033[K", stderr);
    drawn_ = false;
  }
}

void ProgressLine::OnStart(std::int64_t first_step) {
  if (first_step > 0) {
    Clear();
    std::fprintf(stderr, "going on from step %lld\n", static_cast<long long>(first_step));
  }
}

void ProgressLine::OnProgress(const train::Progress& progress) {
  const double share = static_cast<double>(progress.step) / static_cast<double>(progress.steps);
  const int percent = static_cast<int>(share * 100);
  if (!terminal_ && percent == last_percent_) {
    return;
  }
  last_percent_ = percent;
  const auto total = progress.losses.find("total");
  Clear();
  std::string numbers;
  const auto add = [&numbers](const std::string& name, double value) {
    char text[64];
    std::snprintf(text, sizeof(text), "  %s %.4g", name.c_str(), value);
    numbers += text;
  };
  if (total != progress.losses.end()) {
    add("loss", total->second);
  } else {
    std::ranges::for_each(progress.losses, [&](const auto& loss) { add(loss.first, loss.second); });
  }
  for (const auto& [name, value] : progress.metrics) {
    // A compression's comparison is too long for a line; the card has it as a table.
    if (name.find('/') == std::string::npos) {
      add(name, value);
    }
  }
  std::fprintf(stderr, "%s %3d%%  step %lld of %lld  %.2f images/s  %s left%s%s",
               Bar(share).c_str(), percent, static_cast<long long>(progress.step),
               static_cast<long long>(progress.steps), progress.images_per_s,
               Duration(progress.seconds_left).c_str(), numbers.c_str(), terminal_ ? "" : "\n");
  std::fflush(stderr);
  drawn_ = terminal_;
}

void ProgressLine::OnSample(std::int64_t, const std::string&) {}

void ProgressLine::OnCheckpoint(std::int64_t) {}

void ProgressLine::OnWarning(const std::string& sentence) {
  Clear();
  std::fprintf(stderr, "warning: %s\n", sentence.c_str());
}

}  // namespace atelier::tools
