// Numbers in files, whatever the machine's own byte order. The caller has checked that the bytes
// are there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace atelier {

inline std::uint32_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}
inline std::uint32_t BigEndian16(std::string_view bytes, std::size_t at) {
  return ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1);
}
inline std::uint32_t BigEndian32(std::string_view bytes, std::size_t at) {
  return BigEndian16(bytes, at) << 16 | BigEndian16(bytes, at + 2);
}
inline std::uint32_t LittleEndian16(std::string_view bytes, std::size_t at) {
  return ByteAt(bytes, at) | ByteAt(bytes, at + 1) << 8;
}
inline std::uint32_t LittleEndian24(std::string_view bytes, std::size_t at) {
  return LittleEndian16(bytes, at) | ByteAt(bytes, at + 2) << 16;
}
inline std::uint32_t LittleEndian32(std::string_view bytes, std::size_t at) {
  return LittleEndian16(bytes, at) | LittleEndian16(bytes, at + 2) << 16;
}

inline void AppendBigEndian32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift & 0xff));
  }
}
inline void AppendLittleEndian24(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 24; shift += 8) {
    out.push_back(static_cast<char>(value >> shift & 0xff));
  }
}
inline void AppendLittleEndian32(std::string& out, std::uint32_t value) {
  AppendLittleEndian24(out, value);
  out.push_back(static_cast<char>(value >> 24));
}

}  // namespace atelier
