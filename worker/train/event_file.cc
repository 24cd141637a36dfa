#include "worker/train/event_file.h"

#include <array>
#include <bit>
#include <cstdio>
#include <system_error>

#include "common/image_header.h"

namespace atelier::train {
namespace {

constexpr std::array<std::uint32_t, 256> MakeCrcTable() {
  constexpr std::uint32_t kReversedPolynomial = 0x82f63b78;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kReversedPolynomial : 0);
    }
    table[i] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kCrcTable = MakeCrcTable();

template <typename Unsigned>
std::string LittleEndian(Unsigned value) {
  std::string bytes(sizeof(value), '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xffU);
    value >>= 8U;
  }
  return bytes;
}

std::string MaskedCrc(std::string_view data) {
  constexpr std::uint32_t kMaskDelta = 0xa282ead8;
  return LittleEndian(std::rotr(Crc32c(data), 15) + kMaskDelta);
}

// The wire format of protocol buffers: just what the messages below need. Integers of these are
// never negative.
class WireMessage {
 public:
  WireMessage& Integer(std::uint32_t field, std::int64_t value) {
    Key(field, 0);
    Varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  WireMessage& Double(std::uint32_t field, double value) {
    Key(field, 1);
    bytes_ += LittleEndian(std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  WireMessage& Float(std::uint32_t field, float value) {
    Key(field, 5);
    bytes_ += LittleEndian(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  WireMessage& Bytes(std::uint32_t field, std::string_view value) {
    Key(field, 2);
    Varint(value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void Key(std::uint32_t field, std::uint32_t wire_type) { Varint(field << 3U | wire_type); }
  void Varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) {
      bytes_ += static_cast<char>(value | 0x80U);
    }
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Event: wall_time 1, step 2, file_version 3, summary 5, session_log 7.
WireMessage EventAt(std::int64_t step, absl::Time now) {
  WireMessage event;
  event.Double(1, absl::ToDoubleSeconds(now - absl::UnixEpoch())).Integer(2, step);
  return event;
}

// "events.out.tfevents.1790000000.000123"
std::string EventFileName(absl::Time now) {
  const std::int64_t micros = absl::ToUnixMicros(now);
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "events.out.tfevents.%010lld.%06lld",
                static_cast<long long>(micros / 1'000'000),
                static_cast<long long>(micros % 1'000'000));
  return name.data();
}

}  // namespace

std::uint32_t Crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char byte : bytes) {
    crc = (crc >> 8U) ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xffU];
  }
  return ~crc;
}

std::string TfRecord(std::string_view data) {
  std::string record = LittleEndian(std::uint64_t{data.size()});
  record += MaskedCrc(record);
  record += data;
  record += MaskedCrc(data);
  return record;
}

absl::StatusOr<EventFile> EventFile::Create(const std::filesystem::path& directory,
                                            std::int64_t first_step, absl::Time now) {
  std::filesystem::path path = directory / EventFileName(now);
  std::error_code error;
  while (std::filesystem::exists(path, error)) {
    now += absl::Microseconds(1);
    path = directory / EventFileName(now);
  }
  EventFile events;
  events.file_.open(path, std::ios::binary);
  if (!events.file_) {
    return absl::PermissionDeniedError("the job's folder cannot be written");
  }
  absl::Status written = events.Write(EventAt(0, now).Bytes(3, "brain.Event:2").bytes());
  // SessionLog: status 1, whose START is 1.
  written.Update(
      events.Write(EventAt(first_step, now).Bytes(7, WireMessage().Integer(1, 1).bytes()).bytes()));
  if (!written.ok()) {
    return written;
  }
  return events;
}

// Summary: value 1. Value: tag 1, simple_value 2, image 4. Image: height 1, width 2, colorspace 3
// (3: RGB), encoded_image_string 4.
absl::Status EventFile::Scalars(std::int64_t step, absl::Time now,
                                const std::map<std::string, double>& values) {
  WireMessage summary;
  for (const auto& [tag, value] : values) {
    summary.Bytes(1, WireMessage().Bytes(1, tag).Float(2, static_cast<float>(value)).bytes());
  }
  return Write(EventAt(step, now).Bytes(5, summary.bytes()).bytes());
}

absl::Status EventFile::Picture(std::int64_t step, absl::Time now, std::string_view tag,
                                std::string_view encoded) {
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(encoded);
  if (!header.ok()) {
    return absl::OkStatus();
  }
  WireMessage image;
  image.Integer(1, header->height).Integer(2, header->width).Integer(3, 3).Bytes(4, encoded);
  const std::string value = WireMessage().Bytes(1, tag).Bytes(4, image.bytes()).bytes();
  return Write(EventAt(step, now).Bytes(5, WireMessage().Bytes(1, value).bytes()).bytes());
}

absl::Status EventFile::Write(std::string_view event) {
  file_ << TfRecord(event) << std::flush;
  return file_ ? absl::OkStatus()
               : absl::ResourceExhaustedError(
                     "cannot write the job's event file; the disk may be full");
}

}  // namespace atelier::train
