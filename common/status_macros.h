// Early return for absl::Status and absl::StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define ATELIER_RETURN_IF_ERROR(expression)                   \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

#define ATELIER_STATUS_CONCAT_INNER(a, b) a##b
#define ATELIER_STATUS_CONCAT(a, b) ATELIER_STATUS_CONCAT_INNER(a, b)
#define ATELIER_ASSIGN_OR_RETURN(left, expression) \
  ATELIER_ASSIGN_OR_RETURN_INNER(ATELIER_STATUS_CONCAT(status_or_, __LINE__), left, expression)
#define ATELIER_ASSIGN_OR_RETURN_INNER(status_or, left, expression) \
  auto status_or = (expression);                                    \
  if (!status_or.ok()) {                                            \
    return std::move(status_or).status();                           \
  }                                                                 \
  left = std::move(status_or).value()
