// Work that returns what it is sent, by the same way as pictures: for measuring what that way
// costs.
#pragma once

#include <string>

#include "server/queue/outcome_facts.h"

namespace atelier::server {

struct IdentityWork {
  std::string request_id;
  std::string payload;
};

struct IdentityOutcome : OutcomeFacts {
  std::string payload;
};

}  // namespace atelier::server
