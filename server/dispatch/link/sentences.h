// Sentences that workers send.
#pragma once

#include <string>

namespace atelier::server {

// At most 512 bytes of it, never cut through a UTF-8 character: protobuf strings must stay valid.
std::string BoundedSentence(std::string sentence);

}  // namespace atelier::server
