#include "server/dispatch/link/sentences.h"

#include <algorithm>
#include <cstddef>

namespace atelier::server {
namespace {

constexpr std::size_t kMaxSentenceBytes = 512;

}  // namespace

std::string BoundedSentence(std::string sentence) {
  std::size_t end = std::min(sentence.size(), kMaxSentenceBytes);
  while (end > 0 && end < sentence.size() && (sentence[end] & 0xC0) == 0x80) {
    --end;
  }
  sentence.resize(end);
  return sentence;
}

}  // namespace atelier::server
