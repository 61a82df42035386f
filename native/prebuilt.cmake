# A binary for machines without our libraries. What has an archive fit for shared libraries is linked in (Debian's
# libjpeg.a is not, and of oneDNN there is none); of the others, scripts/prebuild/build.sh lays copies beside the addon,
# which finds them there before the system's.

foreach(library dnnl jpeg)
  string(TOUPPER ${library} name)
  find_library(${name}_ARCHIVE lib${library}.a)
  if(${name}_ARCHIVE)
    execute_process(COMMAND ${CMAKE_CXX_COMPILER} -shared -fopenmp -o ${CMAKE_BINARY_DIR}/archive-${library}.so
      -Wl,--whole-archive ${${name}_ARCHIVE} -Wl,--no-whole-archive RESULT_VARIABLE UNFIT OUTPUT_QUIET ERROR_QUIET)
    if(UNFIT)
      set(${name}_ARCHIVE ${name}_ARCHIVE-NOTFOUND CACHE FILEPATH "" FORCE)
    else()
      set(${name}_LIBRARY ${${name}_ARCHIVE})
    endif()
  endif()
  message(STATUS "prebuilt: lib${library} of ${${name}_LIBRARY}")
endforeach()

function(cae_use_own_libraries target)
  # RPATH rather than RUNPATH: it counts for the libraries that the libraries beside us need, too. An addon for CPUs with
  # AVX-512 lies in a folder of its own, below theirs.
  set_target_properties(${target} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN:$ORIGIN/.."
    LINK_DEPENDS ${CMAKE_SOURCE_DIR}/native/exports.map)
  # The C++ library that is linked in must not be seen by oneDNN, which goes with the system's: each would take up
  # half of what the other began. What nobody calls goes, and with it functions of the newest C libraries.
  target_link_options(${target} PRIVATE -Wl,--disable-new-dtags -static-libstdc++ -Wl,--gc-sections
    -Wl,--version-script,${CMAKE_SOURCE_DIR}/native/exports.map)
endfunction()
