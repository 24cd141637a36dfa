// Who is at the other end of a connection.
#pragma once

#include <string>

namespace atelier::server {

struct LinkPeer {
  // By TCP, from another machine or from this one; else by the socket of this machine's workers.
  bool remote = false;
  // What it has shown, its certificate; empty on the socket. Calls for the files of a session must
  // come from where the session comes from.
  std::string certificate;

  bool operator==(const LinkPeer&) const = default;
};

}  // namespace atelier::server
