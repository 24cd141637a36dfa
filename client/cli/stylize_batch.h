// Sends pictures to the server, a few at a time, and writes what comes back.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/api/client.h"
#include "client/cli/picture_plan.h"

namespace atelier::cli {

struct StylizeOutcome {
  absl::Status status;
  v1::StylizeResponse response;              // without the pictures' bytes
  std::vector<std::filesystem::path> files;  // as many as results
};

class StylizeBatch final {
 public:
  // `controls` is the request but for the picture and its format; `deadline` is each picture's own.
  StylizeBatch(client::Client& client, v1::StylizeRequest controls, absl::Duration deadline)
      : client_(client), controls_(std::move(controls)), deadline_(deadline) {}

  // Called once per picture as it ends, by one thread at a time, in the order in which they end.
  using OnDone = std::function<void(std::size_t index, const StylizeOutcome& outcome)>;

  // Does all pictures; one that fails does not stop the others. The outcomes are in the order of
  // `pictures`.
  std::vector<StylizeOutcome> Run(const std::vector<Picture>& pictures,
                                  const OnDone& on_done) const;

 private:
  StylizeOutcome RunOne(const Picture& picture) const;

  client::Client& client_;
  const v1::StylizeRequest controls_;
  const absl::Duration deadline_;
};

}  // namespace atelier::cli
