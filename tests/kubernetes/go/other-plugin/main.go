// Command other-plugin is a device plugin that knows nothing of ours. It serves the VFs of vfio-pci under one resource name, on the
// socket and with the device IDs that Intel's plugin uses, and never asks which pods have VFs. The cluster tests replace it by ours.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	dir     = "/var/lib/kubelet/device-plugins"
	drivers = "/sys/bus/pci/drivers/vfio-pci"
)

type plugin struct {
	api.UnimplementedDevicePluginServer
	devices []*api.Device
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		answer := &api.ContainerAllocateResponse{Envs: map[string]string{}, Devices: []*api.DeviceSpec{node("vfio")}}
		for i, id := range container.DevicesIds {
			group, err := os.Readlink(filepath.Join("/sys/bus/pci/devices", id, "iommu_group"))
			if err != nil {
				return nil, err
			}
			answer.Envs[fmt.Sprintf("QAT%d", i)] = id
			answer.Devices = append(answer.Devices, node(filepath.Base(group)))
		}
		response.ContainerResponses = append(response.ContainerResponses, answer)
	}
	return response, nil
}

func node(name string) *api.DeviceSpec {
	path := "/dev/vfio/" + name
	return &api.DeviceSpec{HostPath: path, ContainerPath: path, Permissions: "rw"}
}

func run(resource string) error {
	entries, err := filepath.Glob(drivers + "/????:??:??.?")
	if err != nil {
		return err
	}
	p := &plugin{}
	for _, entry := range entries {
		p.devices = append(p.devices, &api.Device{ID: filepath.Base(entry), Health: api.Healthy})
	}
	socket := strings.ReplaceAll(resource, "/", "-") + ".sock"
	os.Remove(filepath.Join(dir, socket))
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	kubelet, err := grpc.NewClient("unix://"+filepath.Join(dir, "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer kubelet.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	if _, err := api.NewRegistrationClient(kubelet).Register(ctx, request); err != nil {
		return err
	}
	log.Printf("registered %d devices as %s", len(p.devices), resource)
	return <-ended
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: other-plugin RESOURCE")
	}
	log.Fatal(run(os.Args[1]))
}
