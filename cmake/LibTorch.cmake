# LibTorch as imported target atelier::torch, from the user's own ATELIER_LIBTORCH_ROOT or the pinned wheel of scripts/install-deps.
# The wheel's own find_package(Torch) wants a CUDA toolkit at configure time; this does not.
set(ATELIER_LIBTORCH_ROOT "" CACHE PATH "A LibTorch folder with include/ and lib/ (default: the wheel in ATELIER_DEPS_DIR)")
if(ATELIER_LIBTORCH_ROOT)
  set(_torch_root ${ATELIER_LIBTORCH_ROOT})
else()
  set(_torch_root ${ATELIER_DEPS_DIR}/libtorch/torch)
endif()
find_library(ATELIER_TORCH_CPU torch_cpu PATHS ${_torch_root}/lib ${CMAKE_PREFIX_PATH} PATH_SUFFIXES lib NO_DEFAULT_PATH)
find_library(ATELIER_TORCH_C10 c10 PATHS ${_torch_root}/lib ${CMAKE_PREFIX_PATH} PATH_SUFFIXES lib NO_DEFAULT_PATH)
if(NOT ATELIER_TORCH_CPU OR NOT ATELIER_TORCH_C10)
  message(FATAL_ERROR "LibTorch is not in ${_torch_root}. Run scripts/install-deps, or set ATELIER_LIBTORCH_ROOT.")
endif()
get_filename_component(_torch_lib ${ATELIER_TORCH_CPU} DIRECTORY)
get_filename_component(_torch_root ${_torch_lib} DIRECTORY)

add_library(atelier_torch INTERFACE)
add_library(atelier::torch ALIAS atelier_torch)
# -idirafter: the wheel carries its own google/protobuf and fmt headers, which must never win over the system's.
target_compile_options(atelier_torch INTERFACE
  "SHELL:-idirafter ${_torch_root}/include" "SHELL:-idirafter ${_torch_root}/include/torch/csrc/api/include")
target_link_libraries(atelier_torch INTERFACE ${ATELIER_TORCH_CPU} ${ATELIER_TORCH_C10})
target_link_options(atelier_torch INTERFACE "LINKER:-rpath-link,${_torch_lib}")

# One OpenMP runtime a process: the wheel's, under the same soname as g++'s own.
if(EXISTS ${_torch_lib}/libgomp.so.1)
  set(OpenMP_gomp_LIBRARY ${_torch_lib}/libgomp.so.1 CACHE FILEPATH "OpenMP runtime" FORCE)
endif()

# Installed programs bring the part of the wheel that CPUs need, in the wheel's own layout; a LibTorch of the user's stays where it is.
if(ATELIER_LIBTORCH_ROOT)
  set(CMAKE_INSTALL_RPATH ${_torch_lib})
else()
  set(_private ${CMAKE_INSTALL_LIBDIR}/atelier)
  set(CMAKE_INSTALL_RPATH $ORIGIN/../${_private}/torch/lib)
  install(FILES ${ATELIER_TORCH_CPU} ${ATELIER_TORCH_C10} ${_torch_lib}/libgomp.so.1
    DESTINATION ${_private}/torch/lib COMPONENT libtorch)
  install(FILES ${_torch_root}/../nvidia/cu13/lib/libcudart.so.13 ${_torch_root}/../nvidia/cu13/lib/libcupti.so.13
    DESTINATION ${_private}/nvidia/cu13/lib COMPONENT libtorch)
  install(DIRECTORY ${_torch_root}/../ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/atelier COMPONENT libtorch
    FILES_MATCHING PATTERN "torch" EXCLUDE PATTERN "nvidia" EXCLUDE REGEX "\\.dist-info/")
endif()

add_library(atelier_torch_pch STATIC ${CMAKE_SOURCE_DIR}/cmake/torch_pch.cc)
target_link_libraries(atelier_torch_pch PUBLIC atelier::torch)
target_include_directories(atelier_torch_pch PUBLIC ${CMAKE_SOURCE_DIR})
target_precompile_headers(atelier_torch_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/torch_pch.h)
