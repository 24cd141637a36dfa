#include <lcms2.h>

#include <array>
#include <cmath>

#include "common/check.h"
#include "tests/worker/image/sample_files.h"

namespace atelier::image::testing {
namespace {

std::string SaveAndClose(cmsHPROFILE profile) {
  cmsUInt32Number size = 0;
  ATELIER_CHECK(profile != nullptr && cmsSaveProfileToMem(profile, nullptr, &size));
  std::string bytes(size, '\0');
  ATELIER_CHECK(cmsSaveProfileToMem(profile, bytes.data(), &size));
  cmsCloseProfile(profile);
  return bytes;
}

cmsToneCurve* SrgbCurve(int points) {
  if (points == 0) {
    const std::array<double, 5> parameters = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    return cmsBuildParametricToneCurve(nullptr, 4, parameters.data());
  }
  std::vector<cmsUInt16Number> table;
  for (int i = 0; i < points; ++i) {
    const double x = static_cast<double>(i) / (points - 1);
    const double y = x <= 0.04045 ? x / 12.92 : std::pow((x + 0.055) / 1.055, 2.4);
    table.push_back(static_cast<cmsUInt16Number>(std::lround(y * 65535)));
  }
  return cmsBuildTabulatedToneCurve16(nullptr, static_cast<cmsUInt32Number>(table.size()),
                                      table.data());
}

// CMYK 16 bits → Lab 16 bits (65535 is 100 for L; a and b are 0 at 32896) through linear mixing of
// light colours.
cmsInt32Number SampleOddInks(const cmsUInt16Number in[], cmsUInt16Number out[], void* to_lab) {
  const auto share = [&](int ink) { return in[ink] / 65535.0; };
  const std::array<double, 3> rgb = {(1 - share(1)) * (1 - share(2)) * (1 - share(3)),
                                     (1 - share(0)) * (1 - share(2)) * (1 - share(3)),
                                     (1 - share(0)) * (1 - share(1)) * (1 - share(3))};
  cmsDoTransform(to_lab, rgb.data(), out, 1);
  return TRUE;
}

}  // namespace

std::string SwappedRgbProfile(int curve_points) {
  const cmsCIExyY white = {0.3127, 0.3290, 1.0};
  const cmsCIExyYTRIPLE swapped = {
      {0.3000, 0.6000, 1.0}, {0.6400, 0.3300, 1.0}, {0.1500, 0.0600, 1.0}};
  cmsToneCurve* curve = SrgbCurve(curve_points);
  // Three copies, or the three tags would share one table.
  std::array<cmsToneCurve*, 3> curves = {curve, cmsDupToneCurve(curve), cmsDupToneCurve(curve)};
  std::string bytes = SaveAndClose(cmsCreateRGBProfile(&white, &swapped, curves.data()));
  cmsFreeToneCurveTriple(curves.data());
  return bytes;
}

std::string SrgbProfileOfLittleCms() { return SaveAndClose(cmsCreate_sRGBProfile()); }

std::string LinearGreyProfile() {
  cmsToneCurve* linear = cmsBuildGamma(nullptr, 1.0);
  std::string bytes = SaveAndClose(cmsCreateGrayProfile(cmsD50_xyY(), linear));
  cmsFreeToneCurve(linear);
  return bytes;
}

std::string OddCmykProfile() {
  cmsHPROFILE srgb = cmsCreate_sRGBProfile();
  cmsHPROFILE lab = cmsCreateLab4Profile(nullptr);
  cmsHTRANSFORM to_lab =
      cmsCreateTransform(srgb, TYPE_RGB_DBL, lab, TYPE_Lab_16, INTENT_PERCEPTUAL, 0);
  cmsPipeline* pipeline = cmsPipelineAlloc(nullptr, 4, 3);
  cmsStage* table = cmsStageAllocCLut16bit(nullptr, 9, 4, 3, nullptr);
  ATELIER_CHECK(cmsStageSampleCLut16bit(table, SampleOddInks, to_lab, 0));
  // A version 4 table must stand between curves.
  cmsStage* before = cmsStageAllocToneCurves(nullptr, 4, nullptr);
  cmsStage* after = cmsStageAllocToneCurves(nullptr, 3, nullptr);
  for (cmsStage* stage : {before, table, after}) {
    ATELIER_CHECK(cmsPipelineInsertStage(pipeline, cmsAT_END, stage));
  }
  cmsHPROFILE profile = cmsCreateProfilePlaceholder(nullptr);
  cmsSetProfileVersion(profile, 4.3);
  cmsSetDeviceClass(profile, cmsSigOutputClass);
  cmsSetColorSpace(profile, cmsSigCmykData);
  cmsSetPCS(profile, cmsSigLabData);
  ATELIER_CHECK(cmsWriteTag(profile, cmsSigMediaWhitePointTag, cmsD50_XYZ()));
  ATELIER_CHECK(cmsWriteTag(profile, cmsSigAToB0Tag, pipeline));
  std::string bytes = SaveAndClose(profile);
  cmsPipelineFree(pipeline);
  cmsDeleteTransform(to_lab);
  cmsCloseProfile(lab);
  cmsCloseProfile(srgb);
  return bytes;
}

}  // namespace atelier::image::testing
