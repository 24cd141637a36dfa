// Models into the workers' memory and out of it, as far as RPCs ask for it.
#pragma once

#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace atelier::server {

// Thread-safe, never blocks.
class ModelLoading {
 public:
  // Called once, on any thread, also before the call that was given it returns. Must not block.
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  virtual ~ModelLoading() = default;

  // Loads and warms what `reference` ("NAME", "NAME@VERSION", "NAME@LABEL") means in all serving
  // workers, and keeps it there. Errors: those of atelier.v1.ModelService.Load.
  // DEADLINE_EXCEEDED at `deadline`.
  virtual void Load(std::string_view reference, absl::Time deadline, Done done) = 0;

  // Drops it from the workers' memory and keeps it no longer. Errors: those of
  // atelier.v1.ModelService.Unload.
  // DEADLINE_EXCEEDED at `deadline`.
  virtual void Unload(std::string_view reference, absl::Time deadline, Done done) = 0;
};

}  // namespace atelier::server
