// HTTP/2 by hand, for what no gRPC client would do.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>

namespace atelier::server {

// One HTTP/2 frame (RFC 9113, section 4.1). `payload` below 2^16 bytes, `stream` below 256.
inline std::string Frame(std::uint8_t type, std::uint8_t flags, const std::string& payload,
                         std::uint8_t stream = 0) {
  std::string frame(9, '\0');
  frame[1] = static_cast<char>(payload.size() >> 8U);
  frame[2] = static_cast<char>(payload.size() & 0xFFU);
  frame[3] = static_cast<char>(type);
  frame[4] = static_cast<char>(flags);
  frame[8] = static_cast<char>(stream);
  return frame + payload;
}

inline constexpr std::uint8_t kData = 0;
inline constexpr std::uint8_t kHeaders = 1;
inline constexpr std::uint8_t kSettings = 4;
inline constexpr std::uint8_t kPing = 6;
inline constexpr std::uint8_t kEndHeaders = 4;
inline constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A connection without gRPC. Reads give up after 20 s.
class RawConnection {
 public:
  explicit RawConnection(const std::string& address) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    const timeval limit = {.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  }
  ~RawConnection() { close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  // False once the other end has closed.
  bool Send(const std::string& bytes) const {
    return send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  // What comes until the other end closes; nullopt when it does not within the limit.
  std::optional<std::string> ReadToEnd() const {
    std::string all;
    std::string part(4096, '\0');
    ssize_t size = 0;
    while ((size = recv(socket_, part.data(), part.size(), 0)) > 0) {
      all.append(part, 0, static_cast<std::size_t>(size));
    }
    return size == 0 || errno == ECONNRESET ? std::optional(all) : std::nullopt;
  }

  // At least `size` bytes; fewer when they do not come.
  std::string Read(std::size_t size) const {
    std::string all(size, '\0');
    const ssize_t got = recv(socket_, all.data(), size, MSG_WAITALL);
    all.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return all;
  }

  // Reads until `text` has come; false when it does not.
  bool ReadUntil(const std::string& text) const {
    std::string all;
    std::string part(4096, '\0');
    while (all.find(text) == std::string::npos) {
      const ssize_t size = recv(socket_, part.data(), part.size(), 0);
      if (size <= 0) {
        return false;
      }
      all.append(part, 0, static_cast<std::size_t>(size));
    }
    return true;
  }

  // Begins a Stylize call whose message has 30 MiB, of which 48 KiB are sent (what the windows
  // allow before the server has said a word), and waits until the server has read them.
  bool BeginUpload() const {
    const std::string path = "/atelier.v1.StylizeService/Stylize";
    const auto text = [](const std::string& of) {
      return std::string(1, static_cast<char>(of.size())) + of;
    };
    // HPACK (RFC 7541): POST and http by their numbers, then :path and :authority, and
    // content-type by its number's two bytes, te by name.
    const std::string headers = "\x83\x86\x04" + text(path) + "\x01" + text("localhost") +
                                "\x0f\x10" + text("application/grpc") + std::string(1, '\0') +
                                text("te") + text("trailers");
    const std::uint32_t size = htonl(30U << 20U);
    std::string message(1, '\0');  // not compressed
    message.append(reinterpret_cast<const char*>(&size), sizeof(size));
    message.resize(16 << 10, 'x');
    std::string sent = kPreface + Frame(kSettings, 0, "") +
                       Frame(kHeaders, kEndHeaders, headers, 1) + Frame(kData, 0, message, 1);
    for (int i = 0; i < 2; ++i) {
      sent += Frame(kData, 0, std::string(16 << 10, 'x'), 1);
    }
    // Its answer tells that all before it was read.
    return Send(sent + Frame(kPing, 0, "half-way")) && ReadUntil("half-way");
  }

 private:
  const int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

}  // namespace atelier::server
