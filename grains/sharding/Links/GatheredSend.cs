using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Granary.Sharding.Links;

/// <summary>Several pieces of memory, the caller's own, in one system call; Linux alone, as the runtime's own sockets take pieces only as arrays.</summary>
/// <remarks>A frame that goes out in two calls wakes its reader twice.</remarks>
internal static unsafe partial class GatheredSend
{
    private const int DontWait = 0x40; // MSG_DONTWAIT
    private const int NoSignal = 0x4000; // MSG_NOSIGNAL
    private const int Again = 11; // EAGAIN
    private const int Interrupted = 4; // EINTR

    public static bool IsSupported { get; } = OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    /// <summary>Sends what the system takes now.</summary>
    /// <returns>Bytes; 0 where it takes none now; -1 where the socket is over, with the error.</returns>
    /// <exception cref="ObjectDisposedException">The socket is disposed.</exception>
    public static long Send(SafeSocketHandle socket, ReadOnlySpan<byte> header, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, out int error)
    {
        error = 0;
        fixed (byte* a = header, b = first, c = second)
        {
            var pieces = stackalloc Piece[] { new(a, header.Length), new(b, first.Length), new(c, second.Length) };
            var message = new Message { Pieces = pieces, PieceCount = 3 };
            var sent = SendMessage(socket, &message, DontWait | NoSignal);
            if (sent >= 0) return sent;
            error = Marshal.GetLastPInvokeError();
            return error is Again or Interrupted ? 0 : -1;
        }
    }

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(SafeSocketHandle socket, Message* message, int flags);

    private readonly struct Piece(byte* start, int length)
    {
        public readonly byte* Start = start;
        public readonly nint Length = length;
    }

    /// <summary>As <c>struct msghdr</c> is on 64 bits.</summary>
    private struct Message
    {
        public void* Name;
        public int NameLength;
        public Piece* Pieces;
        public nint PieceCount;
        public void* Control;
        public nint ControlLength;
        public int Flags;
    }
}
