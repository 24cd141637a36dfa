#pragma once

namespace atelier {

// "0.1.0".
const char* Version();

}  // namespace atelier
