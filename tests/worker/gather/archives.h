// Pictures, and archives of them as senders make them, for tests.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

namespace atelier::test {

// A PNG of 16 x 16 px, other pixels for another `seed`.
inline std::string SmallPicture(int seed) {
  cv::Mat pixels(16, 16, CV_8UC3);
  for (int i = 0; i < 16 * 16; ++i) {
    pixels.at<cv::Vec3b>(i / 16, i % 16) =
        cv::Vec3b(static_cast<std::uint8_t>(seed), static_cast<std::uint8_t>(seed >> 8),
                  static_cast<std::uint8_t>(i));
  }
  std::vector<std::uint8_t> bytes;
  cv::imencode(".png", pixels, bytes);
  return {bytes.begin(), bytes.end()};
}

struct ArchiveEntry {
  std::string path;
  std::string bytes;
  unsigned int type = AE_IFREG;
  std::string link = {};      // of a symbolic link
  std::string hardlink = {};  // of a hard one
};

// `format`: "zip", or "tar" with `filter` "" or "gzip", "xz", ...
inline void WriteArchive(const std::filesystem::path& path,
                         const std::vector<ArchiveEntry>& entries,
                         const std::string& format = "tar", const std::string& filter = "") {
  archive* a = archive_write_new();
  ASSERT_EQ(format == "zip" ? archive_write_set_format_zip(a) : archive_write_set_format_gnutar(a),
            ARCHIVE_OK);
  if (!filter.empty()) {
    ASSERT_EQ(archive_write_add_filter_by_name(a, filter.c_str()), ARCHIVE_OK);
  }
  ASSERT_EQ(archive_write_open_filename(a, path.c_str()), ARCHIVE_OK);
  for (const ArchiveEntry& entry : entries) {
    archive_entry* e = archive_entry_new();
    archive_entry_set_pathname(e, entry.path.c_str());
    archive_entry_set_filetype(e, entry.type);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, static_cast<la_int64_t>(entry.bytes.size()));
    if (!entry.link.empty()) {
      archive_entry_set_symlink(e, entry.link.c_str());
    }
    if (!entry.hardlink.empty()) {
      archive_entry_set_hardlink(e, entry.hardlink.c_str());
    }
    EXPECT_GE(archive_write_header(a, e), ARCHIVE_WARN) << archive_error_string(a);
    archive_write_data(a, entry.bytes.data(), entry.bytes.size());
    archive_entry_free(e);
  }
  archive_write_close(a);
  archive_write_free(a);
}

}  // namespace atelier::test
