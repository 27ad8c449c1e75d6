/* Rust's standard library takes its seeds from ProcessPrng, which Wine has since 8.13 only: a stand-in for older ones.
 * For tests; it is never shipped. */
#include <windows.h>
#include <bcrypt.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE place, SIZE_T size)
{
    return BCryptGenRandom(NULL, place, (ULONG)size, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}
