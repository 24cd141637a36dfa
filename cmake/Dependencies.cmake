# Everything but LibTorch comes from the distribution's packages.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
# Debian keeps OpenCVConfig.cmake in libopencv-dev, which pulls in 300 packages (VTK, Qt, MPI). The three libraries we use need none of
# them, so look for these directly, under the target names that OpenCV's own configuration gives.
find_path(ATELIER_OPENCV_INCLUDE opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
foreach(part core imgproc imgcodecs)
  find_library(ATELIER_OPENCV_${part} opencv_${part} REQUIRED)
  add_library(opencv_${part} SHARED IMPORTED)
  set_target_properties(opencv_${part} PROPERTIES IMPORTED_LOCATION ${ATELIER_OPENCV_${part}}
    INTERFACE_INCLUDE_DIRECTORIES ${ATELIER_OPENCV_INCLUDE})
endforeach()
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(turbojpeg REQUIRED IMPORTED_TARGET libturbojpeg)
pkg_check_modules(lcms2 REQUIRED IMPORTED_TARGET lcms2)
find_library(ATELIER_HTTPLIB cpp-httplib REQUIRED)
if(ATELIER_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
find_package(benchmark REQUIRED)
# LibTorch has Gloo inside and not its headers.
find_path(ATELIER_GLOO_INCLUDE gloo/context.h REQUIRED)

# google.rpc error details: the .proto files of the PyPI wheel googleapis-common-protos, unpacked by scripts/install-deps.
set(ATELIER_GOOGLEAPIS_DIR ${ATELIER_DEPS_DIR}/googleapis)
if(NOT EXISTS ${ATELIER_GOOGLEAPIS_DIR}/google/rpc/error_details.proto)
  message(FATAL_ERROR "google/rpc/error_details.proto is not in ${ATELIER_GOOGLEAPIS_DIR}. Run scripts/install-deps.")
endif()

# CUDA is optional: kernels get a CUDA version where nvcc is found.
include(CheckLanguage)
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPU generations to compile for")
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 17)
endif()
message(STATUS "CUDA kernels: ${CMAKE_CUDA_COMPILER}")
