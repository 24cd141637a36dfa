#pragma once

#include <functional>

#include "absl/time/time.h"

namespace atelier::test {

// Polls until `condition` holds; false when `limit` passes first. The limit only bounds a failing
// test, so let it be generous.
bool WaitUntil(const std::function<bool()>& condition, absl::Duration limit = absl::Seconds(20));

}  // namespace atelier::test
