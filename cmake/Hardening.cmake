# What makes a fault in the reading of foreign bytes end the program rather than serve whoever made the bytes. Sanitizers bring
# checks of their own.
option(WHIMBREL_HARDENING "Compile with checks of buffers, stack and jumps" ON)
include(CheckCXXCompilerFlag)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)  # makes CMAKE_POSITION_INDEPENDENT_CODE hold for programs too
if(WHIMBREL_HARDENING AND NOT WHIMBREL_SANITIZE)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -Wformat=2 -Wformat-security
    "$<$<CONFIG:Release>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")  # needs an optimizing compiler
  check_cxx_compiler_flag(-fcf-protection WHIMBREL_HAS_CF_PROTECTION)  # of x86 only
  if(WHIMBREL_HAS_CF_PROTECTION)
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()
