// The folders that one worker without the server's disk was told of, by the names that it knows
// them by: no path of the server leaves the server.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "server/dispatch/files/shared_folder.h"

namespace atelier::server {

// Not thread-safe.
class SessionFolders final {
 public:
  // Puts names in place of the paths of a job: "content", "style", "init", "source", "model-N",
  // "earlier-N", "attempt". A checkpoint to go on from is "resume/checkpoints/step-N": its attempt
  // holds more that is taken over.
  void NameJob(internal::v1::StartJob& start);

  // Puts "model/NAME/VERSION" in place of the paths of models in any message.
  void NameModels(internal::v1::ServerMessage& message);

  // nullptr: it was not told of such a folder. Valid until the next call of another method.
  const SharedFolder* Find(std::string_view name) const;

  // Where `result`, which a trainer tells relative to its attempt's folder, lies. INVALID_ARGUMENT:
  // it leads out of that folder, or there is none.
  absl::StatusOr<std::string> ResultPath(std::string_view result) const;

 private:
  std::string Add(std::string name, SharedFolder folder);
  void NameModel(internal::v1::ModelSource& source);

  std::map<std::string, SharedFolder, std::less<>> folders_;
};

}  // namespace atelier::server
