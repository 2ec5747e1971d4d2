// Command pod-resources asks the kubelet's pod-resources API with Kubernetes' own client, and prints the answer as JSON.
//
//	pod-resources List | GetAllocatableResources | Get NAMESPACE POD
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/podresources/v1"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: pod-resources List | GetAllocatableResources | Get NAMESPACE POD")
	}
	connection, err := grpc.NewClient("unix:///var/lib/kubelet/pod-resources/kubelet.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := api.NewPodResourcesListerClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var answer any
	switch {
	case os.Args[1] == "List":
		answer, err = client.List(ctx, &api.ListPodResourcesRequest{})
	case os.Args[1] == "GetAllocatableResources":
		answer, err = client.GetAllocatableResources(ctx, &api.AllocatableResourcesRequest{})
	case os.Args[1] == "Get" && len(os.Args) == 4:
		answer, err = client.Get(ctx, &api.GetPodResourcesRequest{PodNamespace: os.Args[2], PodName: os.Args[3]})
	default:
		log.Fatalf("unknown call %q", os.Args[1:])
	}
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}
