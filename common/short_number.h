// Numbers as people read them in model cards and sentences. Thread-safe.
#pragma once

#include <string>

namespace atelier {

// Four significant digits, for example "0.71" or "1.234e+05"; "nan", without a sign, for what is
// not finite.
std::string ShortNumber(double value);

}  // namespace atelier
