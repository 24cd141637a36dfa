// The JSON of TrainSpec as tests write it.
#pragma once

#include "common/family.h"
#include "nlohmann/json.hpp"

namespace atelier {

using Json = nlohmann::json;

// The least that a job of a family says.
inline Json MinimalOf(const Family& family) {
  Json json = {{"family", family.name}, {"steps", 30}, {"data", {{"content", "garments"}}}};
  if (family.has_style) {
    json["data"]["style"] = "paintings";
  }
  return json;
}

}  // namespace atelier
