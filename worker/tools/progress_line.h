// Training progress on a terminal, or as plain lines elsewhere.
#pragma once

#include <string>

#include "worker/train/trainer.h"

namespace atelier::tools {

// Writes to standard error. On a terminal one line is redrawn; elsewhere a line is written when the
// whole percent changes.
class ProgressLine final : public train::Observer {
 public:
  ProgressLine();
  ~ProgressLine() override;

  void OnStart(std::int64_t first_step) override;
  void OnProgress(const train::Progress& progress) override;
  void OnSample(std::int64_t step, const std::string& jpeg) override;
  void OnCheckpoint(std::int64_t step) override;
  void OnWarning(const std::string& sentence) override;

 private:
  void Clear();

  bool terminal_;
  bool drawn_ = false;
  int last_percent_ = -1;
};

}  // namespace atelier::tools
